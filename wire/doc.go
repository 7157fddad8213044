// Package wire is the language that clients and the core speak over the secure
// link: ids, requests, responses, events, error codes and the limits in force.
//
// A record of the link carries a sequence of CBOR items (RFC 8949) back to
// back. An item is one of
//
//	request  = [0, id, op, key, body]      from the client
//	response = [1, id, code, body]         from the core, one for each request
//	event    = [2, type, body]             from the core, when it happens
//
// id is chosen by the client and only has to be new among its requests in
// flight. key is the idempotency key: 16 bytes for a request that changes
// something, empty for one that only asks. Bodies are maps with small integer
// keys. The profile is strict ([Scan] checks it before anything is decoded):
// core deterministic encoding, and no floats, tags, nulls, indefinite lengths,
// duplicate or unknown keys; at most 8 levels deep; integers below 2^53.
//
// The package is pure: no input or output, no clock, no other package of ours.
package wire
