// Command quorate-lab runs the demo, the live lab and the side-by-side measurements. It is built, not
// installed.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/quorate/quorate/crm/lab"
	"github.com/quorate/quorate/crm/version"
)

func main() {
	helper(os.Args[1:])
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
			{
				Name: "run", Usage: "clusters in network namespaces, with faults, checked from outside; needs root", ArgsUsage: "[CASE...]",
				Description: "Example: quorate-lab run --timing fast leader-power-off pause\nCases:" + cases(),
				Flags: append(clusterFlags(),
					&cli.BoolFlag{Name: "keep", Usage: "keep state, logs and ledger of cases that went well too"},
					&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "of what the switch loses, doubles and delays"}),
				Action: run,
			},
			{
				Name: "measure", Usage: "take the figures of docs/performance.md; needs root", ArgsUsage: "[PART...]",
				Description: "Example: quorate-lab measure --timing fast --document docs/performance.md\nParts: " + strings.Join(lab.Parts(), ", "),
				Flags: append(clusterFlags(),
					&cli.IntFlag{Name: "times", Value: 10, Usage: "how often each figure is taken"},
					&cli.BoolFlag{Name: "peer", Usage: "measure the corosync and Pacemaker installed here instead; --timing fast is a token of 300 ms"},
					&cli.DurationFlag{Name: "soak", Value: 10 * time.Minute, Usage: "how long the part soak takes; it is taken only when named"},
					&cli.StringFlag{Name: "document", Usage: "file whose section of this profile is replaced"}),
				Action: measure,
			},
		},
	}
	if err := app.Run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "quorate-lab:", err)
		os.Exit(1)
	}
}

// helper is what the lab's machines call: process 1, the agents and what they start. They take their arguments
// as they are and end the program.
func helper(args []string) {
	if len(args) == 0 {
		return
	}
	var err error
	switch {
	case args[0] == "init" && len(args) > 2:
		err = lab.Init(args[1], args[2:])
	case args[0] == "oracle" && len(args) == 2:
		os.Exit(lab.Oracle(args[1], os.Getenv, os.Stdout, os.Stderr))
	case args[0] == "oracle-hold" && len(args) == 4:
		err = lab.OracleHold(args[1], args[2], args[3])
	case args[0] == "peer-node" && len(args) == 3:
		err = lab.PeerNode(args[1], args[2])
	case args[0] == "fence-agent":
		os.Exit(lab.FenceAgent(args[1:], os.Stdin, os.Stdout, os.Stderr))
	default:
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", args[0], err)
		os.Exit(1)
	}
	os.Exit(0)
}

func cases() string {
	text := ""
	for _, c := range lab.Cases() {
		text += fmt.Sprintf("\n   %-18s %s", c[0], c[1])
	}
	return text
}

func clusterFlags() []cli.Flag {
	return []cli.Flag{
		&cli.IntFlag{Name: "nodes", Value: 3, Usage: "machines of a cluster, 2 to 7"},
		&cli.StringFlag{Name: "timing", Value: "default", Usage: "timing profile of the cluster: default or fast"},
		&cli.StringFlag{Name: "dir", Value: "/var/tmp", Usage: "folder on a real disk for the machines' state"},
	}
}

// isolated goes on only in namespaces of the lab's own; it says why when the lab cannot run here.
func isolated() error {
	if why := lab.Needs(); why != "" {
		fmt.Println("skipped:", why)
		os.Exit(0)
	}
	inside, code, err := lab.Isolated()
	if err == nil && !inside {
		os.Exit(code)
	}
	return err
}

func run(c *cli.Context) error {
	if err := isolated(); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return lab.Run(ctx, lab.RunConfig{Bin: filepath.Dir(self), Dir: c.String("dir"), Nodes: c.Int("nodes"), Profile: c.String("timing"),
		Seed: c.Uint64("seed"), Cases: c.Args().Slice(), Keep: c.Bool("keep"), Out: os.Stdout})
}

func measure(c *cli.Context) error {
	if err := isolated(); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return lab.Measure(ctx, lab.MeasureConfig{Times: c.Int("times"), Peer: c.Bool("peer"), Soak: c.Duration("soak"), Document: c.String("document"), RunConfig: lab.RunConfig{Bin: filepath.Dir(self),
		Dir: c.String("dir"), Nodes: c.Int("nodes"), Profile: c.String("timing"), Cases: c.Args().Slice(), Out: os.Stdout}})
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
