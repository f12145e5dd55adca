// Package shell is the crm command: the levels and commands that administrators know from the crm shell,
// one-shot (crm configure show), from a file or standard input, and interactive.
//
// One table per level says what its commands are called, what they take and do; dispatch, help and completion
// come from it. Configuration is edited in a work area of its own and leaves it in one step, "commit", as a
// set of changed objects that the cluster applies whole or not at all.
//
// The work area comes from a backend (package editor): the cluster behind the API socket of this node, or, with CIB_file=FILE
// in the environment, a CIB in a file, which is then rewritten.
//
// A Shell belongs to one goroutine. Starting is kept cheap: nothing is connected or read before a command
// needs it.
package shell
