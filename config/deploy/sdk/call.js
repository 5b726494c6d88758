// Calls one action through the gateway with the vendor's SDK for Node: npm install tencentcloud-sdk-nodejs-common.
//
// usage: node call.js [ACTION]
//
// The environment names the key (TENCENTCLOUD_SECRET_ID, TENCENTCLOUD_SECRET_KEY), the host of the gateway (CAMGUARD_HOST, for
// example aiart.gateway.example) and, if the gateway's certificate is of a private authority, its file (NODE_EXTRA_CA_CERTS).
// A test runs this program through nginx where Node and the SDK are installed.
"use strict";
const { CommonClient } = require("tencentcloud-sdk-nodejs-common");

const action = process.argv[2] || "TextToImage";
const host = process.env.CAMGUARD_HOST;
const client = new CommonClient(host, "2022-12-29", {
  credential: {
    secretId: process.env.TENCENTCLOUD_SECRET_ID,
    secretKey: process.env.TENCENTCLOUD_SECRET_KEY,
  },
  region: "ap-guangzhou",
  profile: { signMethod: "TC3-HMAC-SHA256", httpProfile: { endpoint: host } },
});

client.request(action, { Prompt: "a lighthouse" }).then(
  (answer) => console.log(JSON.stringify(answer)),
  (error) => {
    // A refusal of camguard, or of the cloud behind it.
    console.error(`${error.code} ${error.requestId}\n${error.message}`);
    process.exitCode = 1;
  },
);
