// Package malice tests clients against a server that lies. The server here is
// the real one, with its own root and online keys, its store in SQLite and
// TCP sockets, run by somebody who edits what passes between the secure link
// and the core: every request, answer and event may be read, changed, held
// back, repeated or made up, for one client and not for another.
//
// The edit is made inside the server's own process and not by a program in the
// middle with two links. A login signs the exporter of the client's link, so a
// relayed login is worth nothing (FAULTS 8); but whoever holds the server's
// keys is the end of that link, and needs no relay. So [server] ends the
// clients' links with the server's keys, puts a [tap] on each, and hands it to
// the core with core.Server.ServeLink. Nothing of the product is weaker for
// it, and no client can tell the difference: the pin is the right one.
//
// A manipulation is one row of a table: a number of FAULTS, what the server
// does, the [story] that people live through meanwhile, and what follows, which
// is nothing (harmless) or an alarm by its code, in the clients that are named
// and in no other. The same story without the manipulation is its control: it
// must end well and raise nothing. A row also fails if what it does never came
// to pass. Whatever the server does, nobody is shown a text that was not
// said, twice, or in another order.
//
// To add one: write a row in cases_*_test.go; take a story of stories_test.go or
// write one; say in lie what is done, with [requests], [answers], [events] or,
// for another history than the real one, with server.shows. Then run
//
//	go test ./test/malice -run TestDocument -update
//
// which writes the table into doc/threat-model.md.
package malice
