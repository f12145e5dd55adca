// Command quorated is the daemon of a Quorate node: the runner, and as its child the node process.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/quorate/quorate/crm/daemon"
	"github.com/quorate/quorate/crm/version"
)

func main() {
	root := &cli.StringFlag{Name: "root", EnvVars: []string{"QUORATE_ROOT"}, Usage: "use DIR/etc, DIR/var and DIR/run instead of the system's folders"}
	app := &cli.App{
		Name: "quorated", Usage: "the daemon of a Quorate cluster node", Version: version.Version,
		Description: "Started by the service manager, or by hand with --root for a demo. What the cluster runs is set with crm.",
		Flags:       []cli.Flag{root},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return fmt.Errorf("unexpected argument %q", c.Args().First())
			}
			return daemon.RunRunner(context.Background(), daemon.Options{Root: c.String("root")})
		},
		Commands: []*cli.Command{{
			Name: "node", Hidden: true, Flags: []cli.Flag{root},
			Action: func(c *cli.Context) error {
				err := daemon.RunNode(context.Background(), daemon.Options{Root: c.String("root")})
				if err != nil {
					return cli.Exit("quorated: "+err.Error(), daemon.ExitCode(err))
				}
				return nil
			},
		}},
	}
	if err := app.Run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "quorated:", err)
		os.Exit(daemon.ExitCode(err))
	}
}
