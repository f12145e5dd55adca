// Command quorate-lab runs the demo, the live lab and the side-by-side measurements. It is built, not
// installed.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/quorate/quorate/crm/lab"
	"github.com/quorate/quorate/crm/version"
)

func main() {
	// Process 1 of a machine of the lab takes its arguments as they are.
	if len(os.Args) > 2 && os.Args[1] == "init" {
		if err := lab.Init(os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, "init:", err)
			os.Exit(1)
		}
		return
	}
	app := &cli.App{
		Name:    "quorate-lab",
		Usage:   "demo, lab and measurements of Quorate",
		Version: version.Version,
		Commands: []*cli.Command{
			{
				Name: "demo", Usage: "three nodes on loopback and a failover to watch; needs no root",
				Flags: []cli.Flag{
					&cli.BoolFlag{Name: "keep", Usage: "leave the cluster running and say how to talk to it"},
					&cli.StringFlag{Name: "examples", Usage: "folder of the examples (default: beside the binaries' folder)"},
				},
				Action: demo,
			},
			{
				Name: "serve", Usage: "the small HTTP service of the demo", Hidden: true,
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "listen", Required: true}, &cli.StringFlag{Name: "node"},
					&cli.StringFlag{Name: "pid-file"}, &cli.BoolFlag{Name: "detach"},
				},
				Action: func(c *cli.Context) error {
					cfg := lab.ServeConfig{Listen: c.String("listen"), Node: c.String("node"), PIDFile: c.String("pid-file")}
					if c.Bool("detach") {
						return lab.ServeDetached(cfg)
					}
					return lab.Serve(cfg)
				},
			},
		},
	}
	if err := app.Run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "quorate-lab:", err)
		os.Exit(1)
	}
}

func demo(c *cli.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	bin := filepath.Dir(self)
	examples := c.String("examples")
	if examples == "" {
		examples = filepath.Join(filepath.Dir(bin), "examples")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return lab.Demo(ctx, lab.DemoConfig{Bin: bin, Examples: examples, Keep: c.Bool("keep"), Out: os.Stdout})
}
