// Every host name leads to loopback: for programs that call the gateway by its name.
"use strict";
const dns = require("dns");
dns.lookup = (name, options, then) => {
  const done = then || options;
  if (options && options.all) done(null, [{ address: "127.0.0.1", family: 4 }]);
  else done(null, "127.0.0.1", 4);
};
