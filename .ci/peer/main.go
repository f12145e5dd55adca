// Command peer compares this project's crm_simulate with another one's, such as Debian's, on generated
// documents. It is no part of the gate: the other tool is older and disagrees in places.
//
//	go run ./.ci/peer -n 200                   every kind of document, 200 of each; counts of differences
//	go run ./.ci/peer -kind bundles -show 3    the first three differences of a kind in full
//	go run ./.ci/peer -kind bundles -seed 17 -write one.xml
//	go run ./.ci/peer -mutate 20 -keep out     small random changes in each document of the corpus beside the checkout; the
//	                                           differences, reduced to small documents, go into the folder
//	go run ./.ci/peer -reduce one.xml          the smallest document that still shows the difference, and the difference
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
	ours, theirs, kind, write         string
	corpus, only, keep, reduce, flags string
	n, seed, show, mutate, steps      int
	scores, speed, whole              bool
	patience                          time.Duration
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
	flag.IntVar(&o.mutate, "mutate", 0, "mutants of each document of the corpus to compare")
	flag.IntVar(&o.steps, "steps", 1, "with -mutate: changes in each mutant")
	flag.StringVar(&o.corpus, "corpus", "../shared/conformance/scheduler/xml", "with -mutate: the folder of documents")
	flag.StringVar(&o.only, "only", "*", "with -mutate: pattern of the documents' names")
	flag.StringVar(&o.keep, "keep", "", "reduce each difference, and write it into this folder")
	flag.BoolVar(&o.whole, "whole", false, "with -keep: do not reduce")
	flag.StringVar(&o.reduce, "reduce", "", "reduce this document")
	flag.StringVar(&o.flags, "flags", "-S", "options of both tools, separated by blanks")
	flag.DurationVar(&o.patience, "patience", 2*time.Minute, "with -speed: how long to wait for one document")
	flag.Parse()
	if o.speed {
		return o.race()
	}
	switch {
	case o.reduce != "":
		return o.reduceFile()
	case o.mutate > 0:
		return o.mutants()
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
	if o.keep != "" {
		if err := os.MkdirAll(o.keep, 0o700); err != nil {
			return err
		}
	}
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
		text := []byte(generate.Random(kind, uint64(seed)))
		v, err := o.judge(dir, text)
		if err != nil {
			return err
		}
		counts[v.level]++
		if v.level == "equal" || v.level == "peer terminates" || v.level == "peer fails" {
			continue
		}
		first = append(first, fmt.Sprintf("%d:%s", seed, v.level))
		if len(first) <= o.show {
			fmt.Printf("---- %s %d: %s\n%s\n", kind, seed, v.level, diff(dir, v.theirs, v.ours))
		}
		if o.keep != "" {
			if err := o.keepReduced(dir, fmt.Sprintf("%s-%d", kind, seed), text, v, ""); err != nil {
				return err
			}
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

// verdict is what the two tools say of one document.
type verdict struct {
	level        string // "equal", the sections that differ, or who failed
	sort         string // what sort of difference is the first
	theirs, ours string
}

// judge runs both tools on a document.
func (o options) judge(dir string, text []byte) (verdict, error) {
	file := filepath.Join(dir, "doc.xml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return verdict{}, err
	}
	args := append([]string{"-x", file}, strings.Fields(o.flags)...)
	if o.scores {
		args = []string{"-x", file, "-sSQ"}
	}
	theirs, err := output(o.theirs, args)
	if err != nil && !strings.Contains(theirs, loop) { // invalid for it, or a crash of its own
		return verdict{level: "peer fails", theirs: theirs}, nil
	}
	ours, err := output(o.ours, args)
	switch {
	case err != nil && !strings.Contains(ours, loop):
		return verdict{level: "ours fails", sort: "ours fails", theirs: theirs, ours: ours}, nil
	case !o.scores && strings.Contains(theirs, loop) && !strings.Contains(ours, loop):
		return verdict{level: "peer terminates", theirs: theirs, ours: ours}, nil
	}
	v := verdict{level: o.difference(ours, theirs), theirs: theirs, ours: ours}
	if v.level != "equal" {
		v.sort = o.sortOf(ours, theirs)
	}
	return v, nil
}

// output returns what a tool prints; of its messages only that it ended early.
func output(tool string, args []string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	command := exec.CommandContext(ctx, tool, args...)
	command.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	err := command.Run()
	switch {
	case err == nil:
		return out.String(), nil
	case strings.Contains(errs.String(), loop):
		return out.String() + loop, err
	}
	return out.String() + errs.String(), err
}

// loop is what a tool says when it made a transition that cannot end.
const loop = "An invalid transition was produced"

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
	{regexp.MustCompile(loop), ""},
	{regexp.MustCompile(`unmigrateable`), "unrunnable"},
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
	for _, section := range sections {
		if a, b := sectionLines(ours, section), sectionLines(theirs, section); !slices.Equal(a, b) {
			levels = append(levels, strings.ToLower(strings.Fields(section)[0]))
		}
	}
	if levels == nil {
		return "equal"
	}
	return strings.Join(levels, "+")
}

var sections = []string{"Current cluster status", "Transition Summary", "Executing Cluster Transition", "Revised Cluster Status"}

// sectionLines returns the lines of a section, sorted where their order says nothing.
func sectionLines(text, section string) []string {
	lines := part(text, section)
	if section == "Transition Summary" || section == "Executing Cluster Transition" {
		slices.Sort(lines)
	}
	return lines
}

// sortOf names the first line that only one side has, without the names in it.
func (o options) sortOf(ours, theirs string) string {
	ours, theirs = rename(ours), rename(theirs)
	if o.scores {
		return "scores"
	}
	for _, section := range sections {
		a, b := sectionLines(ours, section), sectionLines(theirs, section)
		var sorts []string
		for _, l := range a {
			if !slices.Contains(b, l) {
				sorts = append(sorts, "ours "+lineSort(l))
			}
		}
		for _, l := range b {
			if !slices.Contains(a, l) {
				sorts = append(sorts, "theirs "+lineSort(l))
			}
		}
		if len(sorts) > 0 {
			slices.Sort(sorts)
			return section[:7] + ": " + strings.Join(slices.Compact(sorts), ", ")
		}
		if !slices.Equal(a, b) {
			return section[:7] + ": order"
		}
	}
	return "none"
}

var operationName = regexp.MustCompile(`_(start|stop|promote|demote|running|stopped|promoted|demoted|notify_[a-z]+|monitor|one-or-more.*|reboot|off|on)(_\d+)?$`)

// lineSort says what a line of output is about, without names of resources and nodes.
func lineSort(line string) string {
	words := strings.Fields(strings.TrimPrefix(line, "* "))
	if len(words) == 0 {
		return ""
	}
	switch words[0] {
	case "Resource", "Pseudo", "Cluster":
		if words[0] == "Pseudo" && len(words) > 2 {
			if found := operationName.FindStringSubmatch(words[2]); found != nil {
				return "pseudo " + found[1]
			}
			return "pseudo"
		}
		if len(words) > 3 {
			return strings.TrimRight(words[3], "0123456789=")
		}
	case "Fence", "Fencing":
		return "fence"
	}
	for _, w := range words {
		switch w {
		case "Started", "Stopped", "FAILED", "ORPHANED", "Promoted", "Unpromoted", "Promoted:", "Unpromoted:", "Started:", "Online:", "OFFLINE:":
			return w
		}
	}
	return words[0]
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
