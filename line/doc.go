// Package line is the client for any terminal, a pipe, a screen reader and a
// script: it reads lines and writes lines, and never moves the cursor.
package line
