// Reads content types and bodies, one a line in base64 with a blank between them; writes the fields that busboy has.
const busboy = require("busboy");
(async () => {
  for (const line of require("fs").readFileSync(0, "latin1").split("\n").slice(0, -1)) {
    const [kind, body] = line.split(" ").map((each) => Buffer.from(each, "base64"));
    const found = [];
    await new Promise((done) => {
      try {
        const reader = busboy({ headers: { "content-type": kind.toString("latin1") } });
        reader.on("field", (name, value) => found.push([name, value]));
        reader.on("file", (name, stream) => stream.resume());
        reader.on("close", done).on("error", done);
        reader.end(body);
      } catch { done(); }
    });
    console.log(JSON.stringify(found));
  }
})();
