package shell

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/store/command"
)

// fencingTroubles are the lines of a summary about nodes that are being fenced, and about those that could not be: what is
// tried, what came of it, and what an administrator can do.
func fencingTroubles(s *command.State, c *model.Cluster) (lines []string) {
	clock := func(t time.Time) string { return t.Format(time.TimeOnly) }
	for i := range s.Pending {
		if p := &s.Pending[i]; p.Task == "stonith" && p.FenceOp != "on" {
			lines = append(lines, fmt.Sprintf("Fencing of %s is under way (%s by %s since %s)", p.Target, p.FenceOp, p.Node, clock(time.Unix(p.Since, 0))))
		}
	}
	for _, n := range c.Nodes {
		failures := s.FencingFailures(n.Name)
		if !n.Unclean || len(failures) == 0 {
			continue
		}
		last := &failures[0]
		lines = append(lines, fmt.Sprintf("Fencing of %s has FAILED %sat %s by %s: %s", n.Name, times(len(failures)), clock(time.UnixMilli(last.Ended)), last.By, last.Detail),
			fmt.Sprintf("What ran on %s starts nowhere else until it is fenced, which is tried again and again. Is %s off for certain? Then: crm node clearstate %s", n.Name, n.Name, n.Name))
	}
	return lines
}

func times(n int) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf("%d times, last ", n)
}

// linkTroubles are the lines of a summary about links between nodes that are there: this node knows its own links, and by
// the matrix those between others.
func linkTroubles(l *api.Local) (lines []string) {
	if l == nil {
		return nil
	}
	nodes, links := []string{l.Node}, []string(nil)
	for _, p := range l.Peers {
		if p.State != "reachable" {
			continue
		}
		nodes = append(nodes, p.Node)
		for _, k := range p.Links {
			if !slices.Contains(links, k.Link) {
				links = append(links, k.Link)
			}
			if k.State == "degraded" {
				lines = append(lines, fmt.Sprintf("Link %s between %s and %s is degraded: %.0f %% loss, latency %v", k.Link, l.Node, p.Node, 100*k.Loss, k.Latency.Round(time.Microsecond)))
			}
		}
	}
	hears := make(map[string][]string)
	for _, r := range l.Matrix {
		hears[r.Node] = r.Hears
	}
	nodes = slices.DeleteFunc(nodes, func(n string) bool { return hears[n] == nil })
	slices.Sort(nodes)
	slices.Sort(links)
	for _, link := range links {
		lines = append(lines, deadPairs(nodes, link, func(a, b string) bool { return slices.Contains(hears[a], b+"/"+link) })...)
	}
	return lines
}

// deadPairs says between which nodes a link does not work. A node that nobody hears on it is named once.
func deadPairs(nodes []string, link string, hears func(a, b string) bool) (lines []string) {
	var cut []string
	for _, a := range nodes {
		dead := 0
		for _, b := range nodes {
			if a != b && !hears(a, b) && !hears(b, a) {
				dead++
			}
		}
		if dead == len(nodes)-1 && dead > 1 {
			cut = append(cut, a)
		}
	}
	if len(cut) > 0 {
		lines = append(lines, fmt.Sprintf("Link %s is dead on %s", link, strings.Join(cut, ", ")))
	}
	for i, a := range nodes {
		for _, b := range nodes[i+1:] {
			switch there, back := hears(b, a), hears(a, b); {
			case slices.Contains(cut, a) || slices.Contains(cut, b):
			case !there && !back:
				lines = append(lines, fmt.Sprintf("Link %s is dead between %s and %s", link, a, b))
			case !there:
				lines = append(lines, fmt.Sprintf("Link %s works one way only: %s does not hear %s", link, b, a))
			case !back:
				lines = append(lines, fmt.Sprintf("Link %s works one way only: %s does not hear %s", link, a, b))
			}
		}
	}
	return lines
}
