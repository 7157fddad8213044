// Package securelink is the root of SecureLink, an end-to-end encrypted chat
// that people host themselves. It holds no code: the programs are under cmd/,
// the parts beside it, and the tests here guard what concerns the whole tree
// (who may import whom, package comments, labels that must never repeat).
package securelink
