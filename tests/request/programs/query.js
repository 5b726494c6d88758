// Reads queries, one a line in base64; writes names and texts of each as JSON, as URLSearchParams and as qs have them.
const qs = (() => { try { return require("qs"); } catch { return null; } })();
const text = (value) => (typeof value === "string" ? [value] : value && typeof value === "object" ? Object.values(value).flatMap(text) : []);
for (const line of require("fs").readFileSync(0, "latin1").split("\n").slice(0, -1)) {
  const query = Buffer.from(line, "base64").toString("latin1");
  const found = [...new URLSearchParams(query)];
  for (const options of [{}, { allowDots: true, ignoreQueryPrefix: true }]) {
    for (const [name, value] of Object.entries(qs ? qs.parse(query, options) : {})) {
      for (const each of text(value)) found.push([name, each]);
    }
  }
  console.log(JSON.stringify(found));
}
