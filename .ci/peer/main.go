// Command peer compares this project's crm_simulate with another one's, such as Debian's, on generated
// documents. It is no part of the gate: the other tool is older and disagrees in places.
//
//	go run ./.ci/peer -n 200                   every kind of document, 200 of each; counts of differences
//	go run ./.ci/peer -kind bundles -show 3    the first three differences of a kind in full
//	go run ./.ci/peer -kind bundles -seed 17 -write one.xml
//	go run ./.ci/peer -speed                   both tools' own profiles of the same large documents
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/policy/generate"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

type options struct {
	ours, theirs, kind, write string
	n, seed, show             int
	scores, speed             bool
	patience                  time.Duration
}

func run() error {
	var o options
	flag.StringVar(&o.ours, "ours", "bin/crm_simulate", "this project's tool")
	flag.StringVar(&o.theirs, "theirs", "/usr/sbin/crm_simulate", "the other one")
	flag.StringVar(&o.kind, "kind", "", "one kind instead of all: "+strings.Join(generate.Kinds, " "))
	flag.StringVar(&o.write, "write", "", "write the document of -kind and -seed to this file, and end")
	flag.IntVar(&o.n, "n", 100, "documents of each kind")
	flag.IntVar(&o.seed, "seed", 1, "first seed")
	flag.IntVar(&o.show, "show", 0, "differences to print of each kind")
	flag.BoolVar(&o.scores, "scores", false, "compare the scores instead of the simulated transition")
	flag.BoolVar(&o.speed, "speed", false, "time both tools (-P, reading included) on large documents instead")
	flag.DurationVar(&o.patience, "patience", 2*time.Minute, "with -speed: how long to wait for one document")
	flag.Parse()
	if o.speed {
		return o.race()
	}
	kinds := generate.Kinds
	if o.kind != "" {
		kinds = []string{o.kind}
	}
	if o.write != "" {
		return os.WriteFile(o.write, []byte(generate.Random(kinds[0], uint64(o.seed))), 0o600)
	}
	dir, err := os.MkdirTemp("", "peer")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, kind := range kinds {
		if err := o.compare(dir, kind); err != nil {
			return err
		}
	}
	return nil
}

func (o options) compare(dir, kind string) error {
	counts := map[string]int{}
	var first []string
	for i := range o.n {
		seed := o.seed + i
		file := filepath.Join(dir, "doc.xml")
		if err := os.WriteFile(file, []byte(generate.Random(kind, uint64(seed))), 0o600); err != nil {
			return err
		}
		args := []string{"-x", file, "-S"}
		if o.scores {
			args = []string{"-x", file, "-sSQ"}
		}
		theirs, err := output(o.theirs, args)
		if err != nil && !strings.Contains(theirs, "invalid transition") {
			counts["peer fails"]++ // invalid for it, or a crash of its own
			if counts["peer fails"] <= o.show {
				fmt.Printf("---- %s %d: %v\n%s\n", kind, seed, err, theirs)
			}
			continue
		}
		ours, err := output(o.ours, args)
		if err != nil && !strings.Contains(ours, "invalid transition") {
			counts["ours fails"]++
			fmt.Printf("---- %s %d: %v\n%s\n", kind, seed, err, ours)
			continue
		}
		if !o.scores && strings.Contains(theirs, "invalid transition") && !strings.Contains(ours, "invalid transition") {
			counts["peer terminates"]++
			continue
		}
		level := o.difference(ours, theirs)
		counts[level]++
		if level == "equal" {
			continue
		}
		first = append(first, fmt.Sprintf("%d:%s", seed, level))
		if len(first) <= o.show {
			fmt.Printf("---- %s %d: %s\n%s\n", kind, seed, level, diff(dir, theirs, ours))
		}
	}
	var list []string
	for level, n := range counts {
		list = append(list, fmt.Sprintf("%s %d", level, n))
	}
	sort.Strings(list)
	fmt.Printf("%-12s %s   %s\n", kind, strings.Join(list, ", "), strings.Join(first[:min(len(first), 12)], " "))
	return nil
}

func output(tool string, args []string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	command := exec.CommandContext(ctx, tool, args...)
	command.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	err := command.Run()
	if err != nil {
		return out.String() + errs.String(), err
	}
	return out.String() + errs.String(), nil
}

// race lets both tools time themselves on the same documents, one after the other, and prints a table.
func (o options) race() error {
	fmt.Println("| nodes × resources | state | theirs, CPU s | ours, CPU s | ratio |\n|---|---|---|---|---|")
	for _, size := range []generate.Size{{Nodes: 3, Resources: 30}, {Nodes: 16, Resources: 300}, {Nodes: 32, Resources: 1000}, {Nodes: 100, Resources: 2000}} {
		for _, state := range []string{"cold", "failed"} {
			dir, err := os.MkdirTemp("", "peer")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			f, err := os.Create(filepath.Join(dir, "load.xml"))
			if err != nil {
				return err
			}
			size.Mix, size.State = "mixed", state
			if err := errors.Join(generate.Load(f, size), f.Close()); err != nil {
				return err
			}
			ours, err := o.profile(o.ours, dir)
			if err != nil {
				return fmt.Errorf("%s: %w", o.ours, err)
			}
			row := fmt.Sprintf("| %d × %d | %s |", size.Nodes, size.Resources, state)
			if theirs, err := o.profile(o.theirs, dir); err != nil {
				fmt.Printf("%s > %.0f | %.3f | > %.0f |\n", row, o.patience.Seconds(), ours, o.patience.Seconds()/ours)
			} else {
				fmt.Printf("%s %.3f | %.3f | %.0f |\n", row, theirs, ours, theirs/ours)
			}
		}
	}
	return nil
}

// profile returns the processor time, in seconds, that a tool's profile of the documents takes for each repetition.
// The time on the clock says little where others use the machine, and the tools themselves print either.
func (o options) profile(tool, dir string) (float64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), o.patience)
	defer cancel()
	for repeat := 1; ; repeat *= 10 {
		command := exec.CommandContext(ctx, tool, "--profile", dir, "--repeat", strconv.Itoa(repeat))
		command.Env = append(os.Environ(), "GOMAXPROCS=1")
		if err := command.Run(); err != nil {
			return 0, err
		}
		seconds := (command.ProcessState.UserTime() + command.ProcessState.SystemTime()).Seconds()
		if seconds >= 0.3 || repeat >= 100 {
			return seconds / float64(repeat), nil
		}
	}
}

// renamed lists what only has another name or form in the older tool.
var renamed = []struct {
	from *regexp.Regexp
	to   string
}{
	{regexp.MustCompile(`pcmk__native_allocate`), "pcmk__primitive_assign"},
	{regexp.MustCompile(`Transition failed: terminated\nAn invalid transition was produced\n`), ""},
	{regexp.MustCompile(`termination was requested`), "fencing was requested"},
	{regexp.MustCompile(`\bmaintenance([,)])`), "unmanaged$1"},
	{regexp.MustCompile(`(?m)^ +\* Stopped.*\]\n`), ""}, // what is said of places where a clone does not run
	{regexp.MustCompile(` \((?i:Not installed|Invalid parameter|Insufficient privileges)\) `), ""},
	{regexp.MustCompile(`(?m)^    \* (Online:|OFFLINE:|Node .*(online|OFFLINE) \(health is).*\n`), ""}, // it lists by health otherwise
	{regexp.MustCompile(` \(health is [A-Z]+\)`), ""},
	{regexp.MustCompile(`(?m)^.*promotion score (on none|\(inactive\)): .*\n`), ""},
	{regexp.MustCompile(`pcmk__(group|clone|bundle)_allocate`), "pcmk__${1}_assign"},
}

func rename(text string) string {
	for _, r := range renamed {
		text = r.from.ReplaceAllString(text, r.to)
	}
	return text
}

// difference names the sections that are not equal.
func (o options) difference(ours, theirs string) string {
	ours, theirs = rename(ours), rename(theirs)
	if o.scores {
		a, b := strings.Split(ours, "\n"), strings.Split(theirs, "\n")
		slices.Sort(a)
		slices.Sort(b)
		if slices.Equal(slices.Compact(a), slices.Compact(b)) { // the older one tries less often to keep an instance
			return "equal"
		}
		return "scores"
	}
	var levels []string
	for _, section := range []string{"Current cluster status", "Transition Summary", "Executing Cluster Transition", "Revised Cluster Status"} {
		a, b := part(ours, section), part(theirs, section)
		if section == "Transition Summary" || section == "Executing Cluster Transition" {
			slices.Sort(a)
			slices.Sort(b)
		}
		if !slices.Equal(a, b) {
			levels = append(levels, strings.ToLower(strings.Fields(section)[0]))
		}
	}
	if levels == nil {
		return "equal"
	}
	return strings.Join(levels, "+")
}

// part returns the lines of a section without blank space.
func part(text, section string) []string {
	_, rest, _ := strings.Cut(text, section)
	var lines []string
	for _, l := range strings.Split(rest, "\n")[1:] {
		if l != "" && l[0] != ' ' {
			break
		}
		if l = strings.Join(strings.Fields(l), " "); l != "" {
			lines = append(lines, l)
		}
	}
	return lines
}

func diff(dir, theirs, ours string) string {
	ours, theirs = rename(ours), rename(theirs)
	a, b := filepath.Join(dir, "theirs"), filepath.Join(dir, "ours")
	if os.WriteFile(a, []byte(theirs), 0o600) != nil || os.WriteFile(b, []byte(ours), 0o600) != nil {
		return "cannot write"
	}
	out, _ := exec.Command("diff", "-U1", a, b).Output()
	return string(out)
}
