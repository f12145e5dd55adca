package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// PowerMode is how the power switch behaves.
type PowerMode int

// Modes of the power switch.
const (
	PowerOK     PowerMode = iota
	PowerRefuse           // every operation fails
	PowerSlow             // every operation takes PowerSwitch.Slow
)

// PowerSwitch is the fence device of the lab. Agents inside the machines reach it by a unix socket, so no fault
// of the network hides it.
type PowerSwitch struct {
	// Off switches a machine off and returns once all its processes are gone; On gives it power again.
	Off, On func(node string) error
	// IsOn reports whether a machine has power; an unknown one is an error.
	IsOn func(node string) (bool, error)
	// Log is told of each machine that was switched off by an agent.
	Log func(node string) error
	// Slow is how long operations take in mode PowerSlow.
	Slow time.Duration

	mu   sync.Mutex // guards mode
	mode PowerMode
}

// SetMode changes how the switch behaves from now on.
func (p *PowerSwitch) SetMode(m PowerMode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = m
}

// Serve answers agents until ctx ends.
func (p *PowerSwitch) Serve(ctx context.Context, l net.Listener) error {
	var group sync.WaitGroup
	defer group.Wait()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		group.Go(func() {
			defer c.Close()
			c.SetDeadline(time.Now().Add(60 * time.Second))
			line, err := bufio.NewReader(io.LimitReader(c, 1024)).ReadString('\n')
			if err != nil {
				return
			}
			answer, err := p.do(ctx, strings.Fields(line))
			if err != nil {
				answer = "error " + err.Error()
			}
			fmt.Fprintln(c, answer)
		})
	}
}

// do carries out one request: an operation and the name of a machine.
func (p *PowerSwitch) do(ctx context.Context, words []string) (string, error) {
	p.mu.Lock()
	mode := p.mode
	p.mu.Unlock()
	switch mode {
	case PowerRefuse:
		return "", errors.New("the power switch refuses")
	case PowerSlow:
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(p.Slow):
		}
	}
	if len(words) == 1 && words[0] == "monitor" {
		return "ok", nil
	}
	if len(words) != 2 {
		return "", fmt.Errorf("bad request %q: want OPERATION NODE", strings.Join(words, " "))
	}
	on, err := p.IsOn(words[1])
	if err != nil {
		return "", err
	}
	switch words[0] {
	case "status":
		if on {
			return "on", nil
		}
		return "off", nil
	case "on":
		if on {
			return "ok", nil
		}
		return "ok", p.On(words[1])
	case "off", "reboot":
		if err := p.Off(words[1]); err != nil {
			return "", err
		}
		if err := p.Log(words[1]); err != nil {
			return "", err
		}
		if words[0] == "reboot" {
			return "ok", p.On(words[1])
		}
		return "ok", nil
	}
	return "", fmt.Errorf("unknown operation %q", words[0])
}

const fenceMetadata = `<?xml version="1.0"?>
<resource-agent name="fence_lab" shortdesc="Power switch of the lab">
<longdesc>fence_lab asks the power switch of the lab, by its unix socket, to switch a machine off or on.</longdesc>
<vendor-url></vendor-url>
<parameters>
<parameter name="action" unique="0" required="1"><getopt mixed="-o, --action=[action]"/><content type="string" default="reboot"/><shortdesc lang="en">Fencing action</shortdesc></parameter>
<parameter name="plug" unique="0" required="1" obsoletes="port"><getopt mixed="-n, --plug=[name]"/><content type="string"/><shortdesc lang="en">Name of the machine</shortdesc></parameter>
<parameter name="socket" unique="0" required="1"><getopt mixed="--socket=[path]"/><content type="string"/><shortdesc lang="en">Socket of the power switch</shortdesc></parameter>
</parameters>
<actions>
<action name="on" automatic="0"/>
<action name="off"/>
<action name="reboot"/>
<action name="status"/>
<action name="monitor"/>
<action name="metadata"/>
</actions>
</resource-agent>
`

// maxFenceInput bounds what a fence agent reads.
const maxFenceInput = 64 << 10

// FenceAgent is the fence agent of the lab; it returns the exit code.
func FenceAgent(args []string, in io.Reader, out, errs io.Writer) int {
	if len(args) == 2 && args[0] == "-o" && args[1] == "metadata" {
		io.WriteString(out, fenceMetadata)
		return 0
	}
	set := map[string]string{"action": "reboot"}
	lines := bufio.NewScanner(io.LimitReader(in, maxFenceInput))
	for lines.Scan() {
		if key, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), "="); ok {
			if key == "port" {
				key = "plug"
			}
			set[key] = value
		}
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(errs, "fence_lab:", err)
		return 1
	}
	if set["action"] == "metadata" {
		io.WriteString(out, fenceMetadata)
		return 0
	}
	request := set["action"] + " " + set["plug"]
	if set["action"] == "monitor" {
		request = "monitor"
	}
	answer, err := askPower(set["socket"], request)
	switch {
	case err != nil:
		fmt.Fprintln(errs, "fence_lab:", err)
		return 1
	case answer == "off":
		return 2
	}
	return 0
}

// askPower sends one request to the switch.
func askPower(socket, request string) (string, error) {
	c, err := net.DialTimeout("unix", socket, 5*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(60 * time.Second)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintln(c, request); err != nil {
		return "", err
	}
	answer, err := bufio.NewReader(io.LimitReader(c, 4096)).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("the power switch gave no answer: %w", err)
	}
	answer = strings.TrimSpace(answer)
	if reason, bad := strings.CutPrefix(answer, "error "); bad {
		return "", errors.New(reason)
	}
	return answer, nil
}

// agentFiles writes the agents of the lab as programs that call this one.
func agentFiles(dir, self string) error {
	for name, call := range map[string]string{"ocf/quorate/Oracle": "oracle", "fence/fence_lab": "fence-agent"} {
		file := dir + "/" + name
		if err := os.MkdirAll(file[:strings.LastIndexByte(file, '/')], 0o755); err != nil {
			return err
		}
		text := fmt.Sprintf("#!/bin/sh\nexec '%s' %s \"$@\"\n", strings.ReplaceAll(self, "'", `'\''`), call)
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			return err
		}
	}
	return nil
}
