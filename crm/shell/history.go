package shell

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/cib/cibcrm"
)

func historyLevel() *level {
	const live = "the history is that of the cluster, kept on every node"
	return &level{name: "history", help: "What happened: recorded operations, fencing, members, decisions, and changes of the configuration.", commands: []*row{
		{name: "info", help: "show what is known from when, and what limit and exclude leave of it", example: "history info", run: (*Shell).cmdHistoryInfo},
		{name: "limit", aliases: []string{"timeframe"}, args: "[FROM [TO] | clear]", example: "history limit 14:00 15:30", help: "show what happened in a span of time: 15:04, \"2026-01-31 15:04\", \"Jan 31 15:04\", or 2h (before now)", run: (*Shell).cmdLimit},
		{name: "events", args: "[NUMBER]", example: "history events 20", help: "list what happened, the newest last", run: (*Shell).cmdEvents},
		{name: "follow", args: "[kind=KIND,...] [node=NODE] [resource=RESOURCE] [after=INDEX]", example: "history follow kind=fencing,node",
			help: "print what happens from now on, or after the state with an index, until it is interrupted", run: (*Shell).cmdFollow},
		{name: "log", args: "[NODE ...]", example: "history log alpha", help: "list what happened on nodes, or on all", run: (*Shell).cmdHistoryNode, complete: completeNodes},
		{name: "node", args: "NODE ...", example: "history node alpha", help: "list what happened to nodes: membership, fencing, operations", run: (*Shell).cmdHistoryNode, complete: completeNodes},
		{name: "resource", args: "RESOURCE ...", example: "history resource web", help: "list the operations of resources", run: (*Shell).cmdHistoryResource, complete: completeResources},
		{name: "latest", help: "list what happened since the newest change of the configuration", example: "history latest", run: (*Shell).cmdHistoryLatest},
		{name: "exclude", args: "[PATTERN | clear]", example: "history exclude monitor", help: "leave out events that match a regular expression; without one, list those in force", run: (*Shell).cmdExclude},
		{name: "decisions", aliases: []string{"transitions", "peinputs"}, args: "[NUMBER]", example: "history decisions 50", help: "list what this node decided as leader; - marks those of which \"crm explain --at\" has no input any more", run: (*Shell).cmdDecisions},
		{name: "transition", args: "ID [RESOURCE [NODE]]", example: "history transition 3.17", help: "show a decision again: what it did, or why a resource went where it did", run: (*Shell).cmdTransition},
		{name: "fencing", help: "list fencings: who, by what, with which result", example: "history fencing", run: (*Shell).cmdFencingHistory},
		{name: "revisions", args: "[NUMBER]", example: "history revisions 10", help: "list changes of the configuration", run: (*Shell).cmdRevisions},
		{name: "diff", aliases: []string{"wdiff"}, args: "[REVISION [REVISION]]", example: "history diff 120 125", help: "list what changed between two revisions of the configuration", run: (*Shell).cmdDiffRevisions},
		{name: "show", args: "[REVISION]", example: "history show 120", help: "print the configuration as it was", run: (*Shell).cmdHistoryShow},
		elsewhere("source", live, "\"crm report\" packs it for others to read"),
		elsewhere("refresh", live, "every command asks for what is newest"),
		elsewhere("setnodes", live, "\"log NODE\" shows one node"),
		elsewhere("detail", live, "\"journalctl -u quorated\" has the messages of the daemon on its node"),
		elsewhere("session", live, "\"crm report\" packs it for others to read"),
		elsewhere("graph", live, "\"crm configure graph\" draws the configuration, \"crm_simulate -D FILE\" a transition"),
	}}
}

// window is what the history shows.
type window struct {
	from, to time.Time // zero = open
	exclude  []*regexp.Regexp
}

// event is one thing that happened.
type event struct {
	at       int64 // milliseconds since 1970
	text     string
	node     string // "" = of no node
	resource string // instance; "" = of none
}

// events lists what happened within the window, oldest first.
func (s *Shell) events(ctx context.Context) ([]event, error) {
	snap, err := s.load(ctx)
	if err != nil {
		return nil, err
	}
	var list []event
	for i := range snap.Doc.Status.Nodes {
		n := &snap.Doc.Status.Nodes[i]
		if since, err := strconv.ParseInt(n.InCCM, 10, 64); err == nil && since > 1 {
			list = append(list, event{at: since * 1000, text: "node " + n.Name + " became a member", node: n.Name})
		}
		for j := range n.History {
			h := &n.History[j]
			for k := range h.Operations {
				o := &h.Operations[k]
				if o.LastRCChange <= 0 {
					continue
				}
				text := fmt.Sprintf("%s of %s on %s: rc=%d", o.Operation, h.ID, n.Name, o.RC)
				if o.ExitReason != "" {
					text += " (" + o.ExitReason + ")"
				}
				list = append(list, event{at: o.LastRCChange * 1000, text: text, node: n.Name, resource: h.ID})
			}
		}
	}
	if snap.State != nil {
		for _, f := range snap.State.Fencing {
			list = append(list, event{at: f.Ended, text: fencingText(&f), node: f.Target})
		}
		for _, ch := range snap.State.Changes {
			list = append(list, event{at: ch.Time, text: fmt.Sprintf("configuration changed by %s: %s %s", ch.Actor, strings.Join(ch.Objects, ", "), ch.Message)})
		}
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].at < list[j].at })
	return slices.DeleteFunc(list, func(e event) bool {
		at := time.UnixMilli(e.at)
		return !s.window.from.IsZero() && at.Before(s.window.from) || !s.window.to.IsZero() && at.After(s.window.to) ||
			slices.ContainsFunc(s.window.exclude, func(r *regexp.Regexp) bool { return r.MatchString(e.text) })
	}), nil
}

func (s *Shell) printEvents(list []event) {
	for _, e := range list {
		s.printf("%s %s\n", time.UnixMilli(e.at).Format(time.DateTime), strings.TrimSpace(e.text))
	}
}

func (s *Shell) cmdEvents(c *call) error {
	if err := c.want(0, 1); err != nil {
		return err
	}
	most := 50
	if len(c.args) == 1 {
		n, err := strconv.Atoi(c.args[0])
		if err != nil || n < 1 {
			return c.usage("%q is no number", c.args[0])
		}
		most = n
	}
	list, err := s.events(c.ctx)
	if err != nil {
		return err
	}
	s.printEvents(list[max(0, len(list)-most):])
	return nil
}

func (s *Shell) cmdHistoryNode(c *call) error {
	if c.cmd.name == "node" {
		if err := c.want(1, -1); err != nil {
			return err
		}
	}
	doc := s.completionDocument()
	for _, name := range c.args {
		if _, err := findNode(doc, name); err != nil {
			return err
		}
	}
	list, err := s.events(c.ctx)
	if err != nil {
		return err
	}
	s.printEvents(slices.DeleteFunc(list, func(e event) bool { return len(c.args) > 0 && !slices.Contains(c.args, e.node) }))
	return nil
}

func (s *Shell) cmdHistoryResource(c *call) error {
	if err := c.want(1, -1); err != nil {
		return err
	}
	doc := s.completionDocument()
	wanted := make(map[string]bool)
	for _, id := range c.args {
		r, err := mustFind(doc, id)
		if err != nil {
			return err
		}
		for _, p := range within(r) {
			wanted[p.ID] = true
		}
	}
	list, err := s.events(c.ctx)
	if err != nil {
		return err
	}
	s.printEvents(slices.DeleteFunc(list, func(e event) bool {
		base, _, _ := strings.Cut(e.resource, ":")
		return !wanted[base]
	}))
	return nil
}

func (s *Shell) cmdHistoryLatest(c *call) error {
	if err := c.want(0, 0); err != nil {
		return err
	}
	if _, live := s.live(); live == nil {
		if err := s.waitIdle(c.ctx, 0); err != nil {
			return err
		}
	}
	list, err := s.events(c.ctx)
	if err != nil {
		return err
	}
	from := 0
	for i := range list {
		if strings.HasPrefix(list[i].text, "configuration changed") {
			from = i
		}
	}
	s.printEvents(list[from:])
	return nil
}

// timeForms are how a time may be typed. Those without a date are of today, those without a year of this year.
var timeForms = []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006/01/02 15:04", "2006-01-02", "Jan 2 15:04:05", "Jan 2 15:04", "Jan 2", "15:04:05", "15:04", "3pm"}

// parseTime reads a time the way people type one; a length of time is before now.
func parseTime(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(strings.TrimPrefix(text, "-")); err == nil {
		return now.Add(-d), nil
	}
	for _, form := range timeForms {
		t, err := time.ParseInLocation(form, text, now.Location())
		if err != nil {
			continue
		}
		switch {
		case t.Year() == 0 && (strings.HasPrefix(form, "15") || form == "3pm"):
			return time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), t.Second(), 0, now.Location()), nil
		case t.Year() == 0:
			return t.AddDate(now.Year(), 0, 0), nil
		}
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%q is no time: type 15:04, \"2026-01-31 15:04\", \"Jan 31 15:04\", or 2h for two hours ago", text)
}

func (s *Shell) cmdLimit(c *call) error {
	if err := c.want(0, 2); err != nil {
		return err
	}
	s.window.from, s.window.to = time.Time{}, time.Time{}
	if len(c.args) == 0 || c.args[0] == "clear" {
		return nil
	}
	var w [2]time.Time
	for i, a := range c.args {
		t, err := parseTime(a, time.Now())
		if err != nil {
			return err
		}
		w[i] = t
	}
	if !w[1].IsZero() && !w[1].After(w[0]) {
		return c.usage("%s is not after %s", c.args[1], c.args[0])
	}
	s.window.from, s.window.to = w[0], w[1]
	return nil
}

func (s *Shell) cmdExclude(c *call) error {
	if err := c.want(0, 1); err != nil {
		return err
	}
	switch {
	case len(c.args) == 0:
		for _, r := range s.window.exclude {
			s.printf("%s\n", r)
		}
	case c.args[0] == "clear":
		s.window.exclude = nil
	default:
		r, err := regexp.Compile(c.args[0])
		if err != nil {
			return c.usage("%v", err)
		}
		s.window.exclude = append(s.window.exclude, r)
	}
	return nil
}

func (s *Shell) cmdHistoryInfo(c *call) error {
	if err := c.want(0, 0); err != nil {
		return err
	}
	list, err := s.events(c.ctx)
	if err != nil {
		return err
	}
	s.printf("Source: %s\nEvents: %d\n", s.connect().Name(c.ctx), len(list))
	if len(list) > 0 {
		s.printf("Period: %s - %s\n", time.UnixMilli(list[0].at).Format(time.DateTime), time.UnixMilli(list[len(list)-1].at).Format(time.DateTime))
	}
	doc := s.completionDocument()
	var nodes, resources []string
	for _, n := range doc.Config.Nodes {
		nodes = append(nodes, n.Name)
	}
	for _, r := range doc.Config.Resources {
		resources = append(resources, r.ID)
	}
	s.printf("Nodes: %s\nResources: %s\n", strings.Join(nodes, " "), orNone(strings.Join(resources, " ")))
	return nil
}

func (s *Shell) cmdTransition(c *call) error {
	if err := c.want(1, 3); err != nil {
		return err
	}
	return s.cmdExplain(&call{ctx: c.ctx, cmd: c.cmd, args: append([]string{"--at", c.args[0]}, c.args[1:]...)})
}

func (s *Shell) cmdHistoryShow(c *call) error {
	if err := c.want(0, 1); err != nil {
		return err
	}
	if len(c.args) == 0 {
		return s.cmdShow(&call{ctx: c.ctx, cmd: c.cmd})
	}
	doc, err := s.revision(c.ctx, c, c.args[0])
	if err != nil {
		return err
	}
	s.printItems(cibcrm.Items(&doc.Config, cibcrm.PrintOptions{Obscure: obscured}))
	return nil
}
