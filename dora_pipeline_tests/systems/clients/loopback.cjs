// Hosts below dora.test are on this machine: Datadog's client builds its address as api.<site>.
const dns = require('node:dns')
const lookup = dns.lookup

dns.lookup = (host, ...rest) => lookup(host.endsWith('.dora.test') ? '127.0.0.1' : host, ...rest)
