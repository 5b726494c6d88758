// Makes one call with a Node SDK of the vendor. Argument: JSON, as tests/test_official_clients.py writes it. Prints JSON.
"use strict";
const dns = require("dns");
dns.lookup = (name, options, then) => {
  const done = then || options;
  if (options && options.all) done(null, [{ address: "127.0.0.1", family: 4 }]);
  else done(null, "127.0.0.1", 4);
};

const how = JSON.parse(process.argv[2]);
const HOST = `aiart.tencentcloudapi.com:${how.port}`;
const VERSION = "2022-12-29";

// The SDK of the Chinese site: promises, and its settings in one object.
function chinese() {
  const { CommonClient } = require(`${how.package}/tencentcloud/common/common_client`);
  const client = new CommonClient(HOST, VERSION, {
    credential: { secretId: how.secretId, secretKey: how.secretKey },
    region: how.region,
    profile: { signMethod: how.method, httpProfile: { reqMethod: how.verb, protocol: "http://", endpoint: HOST } },
  });
  return client.request(how.action, how.params, how.options);
}

// The SDK of the international site: callbacks, and a class for each setting.
function international() {
  const { CommonClient, Credential, ClientProfile, HttpProfile } = require(`${how.package}/tencentcloud/common`);
  const profile = new ClientProfile(how.method, new HttpProfile("http://", HOST, how.verb));
  const client = new CommonClient(HOST, VERSION, new Credential(how.secretId, how.secretKey), how.region, profile);
  return new Promise((resolve, reject) => {
    client.request(how.action, how.params, how.options, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

(how.package.endsWith("intl-en") ? international() : chinese()).then(
  (answer) => console.log(JSON.stringify({ answer })),
  (error) => console.log(JSON.stringify({
    kind: error.constructor.name, code: error.code, requestId: error.requestId, message: error.message,
  })),
);
