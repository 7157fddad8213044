// Package core is the chat server: accounts and devices, the directory of key
// packages, ordered room logs, delivery, and the limits on all of it. It moves
// bytes that it cannot read; no package that could read them is linked in.
//
// # Who owns what
//
// [Server.Serve] runs one connection: the goroutine that calls it reads and
// handles requests in order. What goes out is put into the connection's
// bounded queue; a second goroutine exists only while that queue is not empty.
//
// Everything durable goes through one writer goroutine ([writer]): requests
// that arrive together share one transaction (group commit), and only after it
// is durable does a second goroutine answer and push, in the order of the log.
//
// A room's head, routes, watchers and turn have one lock ([room]). An append
// takes its seq under that lock and is queued for the writer under it, so the
// order of the queue is the order of the log. If a transaction fails, every
// room it touched is read again from the store before it is used.
//
// Locks are taken in this order: room, session, registry of devices, queue of a connection.
package core
