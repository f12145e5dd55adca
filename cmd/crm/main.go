// Command crm is the shell of Quorate. Called by the name of one of Pacemaker's tools, it answers as that
// tool.
package main

import (
	"os"

	"github.com/quorate/quorate/crm/compat"
)

func main() {
	if tool, ok := compat.Lookup(os.Args[0]); ok {
		os.Exit(tool(compat.IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, os.Args[1:]))
	}
	os.Exit(2)
}
