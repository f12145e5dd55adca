package compat

import (
	"fmt"
	"io"
	"time"

	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/simulate"
	"github.com/quorate/quorate/crm/status"
)

// textReport prints sections as the field's tools do: an empty line between blocks.
type textReport struct {
	w, err  io.Writer
	quiet   bool // only scores
	none    bool // not even these
	started bool
}

func (t *textReport) section(title string) {
	if t.quiet {
		return
	}
	t.gap()
	fmt.Fprintf(t.w, "%s:\n", title)
}

// gap separates a block from the one before.
func (t *textReport) gap() {
	if t.started {
		fmt.Fprintln(t.w)
	}
	t.started = true
}

func (t *textReport) item(line string) {
	if !t.quiet {
		fmt.Fprintf(t.w, "  * %s\n", line)
	}
}

func (t *textReport) note(line string) {
	if !t.quiet {
		fmt.Fprintln(t.w, line)
	}
}

func (t *textReport) problem(text string) { fmt.Fprintln(t.err, text) }

func (t *textReport) state(title string, c *model.Cluster, o status.Options) {
	if t.quiet {
		return
	}
	if o.Pending { // the present state, not what becomes of it
		if c.Options.Maintenance {
			t.started = true
			fmt.Fprint(t.w, "\n              *** Resource management is DISABLED ***\n  The cluster will not attempt to start, stop or recover services\n")
		}
		if line := status.DisabledLine(c); line != "" {
			t.gap()
			t.note(line)
		}
	}
	t.section(title)
	o.Depth = 1
	status.Write(t.w, c, o)
}

func (t *textReport) modifications(list []simulate.Modification) {
	t.section("Performing Requested Modifications")
	for _, m := range list {
		t.item(m.String())
	}
}

func (t *textReport) scores(c *model.Cluster, scores, utilization bool) {
	if t.none {
		return
	}
	title := "Assignment Scores"
	switch {
	case scores && utilization:
		title = "Assignment Scores and Utilization Information"
	case utilization:
		title = "Utilization Information"
	}
	t.section(title)
	for i := range c.Scores {
		if t.quiet {
			fmt.Fprintln(t.w, c.Scores[i].Text())
		} else {
			t.item(c.Scores[i].Text())
		}
	}
	if t.quiet {
		fmt.Fprintln(t.w)
	}
}

func (t *textReport) changes(list []policy.Change) {
	t.section("Transition Summary")
	for _, line := range policy.SummaryText(list) {
		t.item(line)
	}
}

func (t *textReport) transition(events []simulate.Event) {
	t.section("Executing Cluster Transition")
	for i := range events {
		if events[i].Plain {
			t.note(events[i].Text())
		} else {
			t.item(events[i].Text())
		}
	}
}

func (t *textReport) timings() { t.section("Timings") }

func (t *textReport) timing(file string, took time.Duration) {
	t.item(fmt.Sprintf("Testing %s ... %.2f secs", file, took.Seconds()))
}

func (t *textReport) end(err error) int {
	if err != nil && err.Error() != "" {
		fmt.Fprintf(t.err, "crm_simulate: %v\n", err)
	}
	return exitCode(err)
}
