// The limits of control groups are not looked for at each start, nor from time to time.
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command crm is the shell of Quorate. Called by the name of one of Pacemaker's tools, it answers as that
// tool.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"github.com/quorate/quorate/crm/compat"
	"github.com/quorate/quorate/crm/shell"
)

func main() {
	if tool, ok := compat.Lookup(os.Args[0]); ok {
		os.Exit(tool(compat.IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, os.Args[1:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	code := shell.Run(ctx, shell.Config{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Terminal: term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd())),
	}, os.Args[1:])
	stop()
	os.Exit(code)
}
