// The Node side of capture.py: `list` prints the scenarios, a number runs one of them.
"use strict";
const dns = require("dns");
const fs = require("fs");
const path = require("path");

const RECORDER = "127.0.0.9";
dns.lookup = (name, options, then) => {
  const done = then || options;
  if (options && options.all) done(null, [{ address: RECORDER, family: 4 }]);
  else done(null, RECORDER, 4);
};

const root = "tencentcloud-sdk-nodejs";
const { CommonClient } = require(`${root}/tencentcloud/common/common_client`);
const { sdkVersion } = require(`${root}/tencentcloud/common/sdk_version`);
const { aiart } = require(root);

const keys = JSON.parse(fs.readFileSync(path.join(__dirname, "keys.json"), "utf8"));
const [PERMANENT, TEMPORARY] = Object.keys(keys);
const PRODUCT = "aiart.tencentcloudapi.com";
const GATEWAY = "aiart.gw.example";
const BYTES = Buffer.from(Array.from({ length: 52 }, (_, i) => i * 5));
const PARAMS = { Prompt: "a cat", LogoAdd: 0 };
const NESTED = {
  Prompt: "a cat & a dog=50% + ü 猫 /?",
  Styles: ["201", "202"],
  Filters: [{ Name: "zone", Values: ["b", "a"] }],
  Seed: 9007199254740993n,
  Nothing: null,
};
const UNICODE = { Prompt: "eine Katze im Café, 猫と犬 \u{1f408}", NegativePrompt: '"\\\n\t' };

function call(how = {}) {
  const key = how.key || PERMANENT;
  const config = {
    credential: { secretId: key, secretKey: keys[key].secret_key, token: keys[key].token },
    region: how.region === undefined ? "ap-guangzhou" : how.region,
    profile: {
      signMethod: how.method,
      language: how.language,
      httpProfile: {
        reqMethod: how.verb || "POST",
        protocol: "http://",
        endpoint: how.endpoint,
        headers: how.profileHeaders,
        proxy: how.proxy,
      },
    },
  };
  if (how.emptyToken) config.credential.token = "";
  return async () => {
    if (how.typed) {
      return new aiart.v20221229.Client(config).QueryTextToImageProJob({ JobId: "123" });
    }
    const client = new CommonClient(PRODUCT, "2022-12-29", config);
    const action = how.action || "TextToImageRapid";
    if (how.octets) return client.requestOctetStream(action, BYTES);
    return client.request(action, how.params || PARAMS, how.options || {});
  };
}

const multipart = { params: { Prompt: "猫", Image: BYTES }, options: { multipart: true } };
const scenarios = [
  ["TC3 POST JSON", "signed", call()],
  ["TC3 POST JSON typed", "signed", call({ typed: true })],
  ["TC3 POST JSON no parameters", "signed", call({ params: {} })],
  ["TC3 POST JSON nested", "signed", call({ params: NESTED })],
  ["TC3 POST JSON unicode", "signed", call({ params: UNICODE })],
  ["TC3 POST JSON first letter small", "signed", call({ action: "textToImageRapid" })],
  ["TC3 POST JSON no region", "signed", call({ region: null })],
  ["TC3 POST JSON empty token", "signed", call({ emptyToken: true })],
  ["TC3 POST JSON Chinese", "signed", call({ language: "zh-CN" })],
  ["TC3 POST JSON token", "signed", call({ key: TEMPORARY })],
  ["TC3 POST JSON caller's headers", "signed", call({ options: { headers: { "X-Note": "A", "X-TC-TraceId": "T" } } })],
  ["TC3 POST JSON with charset", "signed", call({ options: { headers: { "Content-Type": "application/json; charset=UTF-8" } } })],
  ["TC3 POST multipart", "signed", call(multipart)],
  ["TC3 POST multipart token", "signed", call({ ...multipart, key: TEMPORARY })],
  ["TC3 POST octet stream", "signed", call({ octets: true })],
  ["TC3 GET", "signed", call({ verb: "GET" })],
  ["TC3 GET no parameters", "signed", call({ verb: "GET", params: {} })],
  ["TC3 GET nested", "signed", call({ verb: "GET", params: NESTED })],
  ["TC3 GET unicode", "signed", call({ verb: "GET", params: UNICODE })],
  ["TC3 GET token", "signed", call({ verb: "GET", key: TEMPORARY })],
  ["TC3 Host of a gateway", "signed", call({ endpoint: GATEWAY })],
  ["TC3 Host of a gateway with port", "signed", call({ endpoint: `${GATEWAY}:8080` })],
  ["TC3 Host of a gateway with port GET", "signed", call({ verb: "GET", endpoint: `${GATEWAY}:8080` })],
  ["TC3 Host of a gateway with port multipart", "signed", call({ ...multipart, endpoint: `${GATEWAY}:8080` })],
  ["TC3 Host that is an address", "service_conflict", call({ endpoint: `${RECORDER}:8080` })],
  ["TC3 not signed", "auth_malformed", call({ options: { skipSign: true } })],
];
for (const verb of ["GET", "POST"]) {
  for (const method of ["HmacSHA1", "HmacSHA256"]) {
    for (const [what, expected, how] of [
      ["", "signed", {}],
      [" nested", "signed", { params: NESTED }],
      [" unicode", "signed", { params: UNICODE }],
      [" token", "signed", { key: TEMPORARY }],
      [" no region", "signed", { region: null }],
      [" underscores", "signed", { params: { A_Name: "x", "B.Name": "y", AName: "z" } }],
      [" Host with port", "signed", { endpoint: `${GATEWAY}:8080` }],
    ]) {
      scenarios.push([`v1 ${verb} ${method}${what}`, expected, call({ ...how, verb, method })]);
    }
  }
}

if (process.argv[2] === "list") {
  const listed = scenarios.map(([name, expected]) => [name, expected]);
  process.stdout.write(JSON.stringify({ version: sdkVersion, scenarios: listed }));
} else {
  const [, , run] = scenarios[Number(process.argv[2])];
  run().then(
    () => process.exit(0),
    (error) => { console.error(String(error)); process.exit(0); },
  );
}
