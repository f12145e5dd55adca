package status

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/policy/model"
)

// FencingState says how far a fencing is.
type FencingState uint8

// States of fencings.
const (
	FencingPending FencingState = iota
	FencingDone
	FencingFailed
)

var fencingWords = [...]string{"pending", "success", "failed"}

// String returns the state as the XML form has it.
func (s FencingState) String() string { return fencingWords[s] }

// FencingEvent is one fencing that is under way or over.
type FencingEvent struct {
	Target, Action string // node; reboot, off, on
	State          FencingState
	By             string    // node that carried it out; "" = not known, or nobody
	Client         string    // who asked for it
	Origin         string    // node on which it was asked for
	Detail         string    // why it failed
	Completed      time.Time // zero while it is under way
}

// fencing writes fencings: what failed, or with FencingAll everything, and what is under way.
func (p *printer) fencing() {
	if p.o.FencingAll {
		p.fencings("Fencing History", func(FencingEvent) bool { return true })
		return
	}
	p.fencings("Failed Fencing Actions", func(e FencingEvent) bool { return e.State == FencingFailed })
	p.fencings("Pending Fencing Actions", func(e FencingEvent) bool { return e.State == FencingPending })
}

func (p *printer) fencings(title string, want func(FencingEvent) bool) {
	began := false
	for _, e := range p.o.Fencing {
		if !want(e) || p.o.Only.Nodes != nil && !p.o.Only.Nodes[e.Target] {
			continue
		}
		if !began {
			p.section(title)
			began = true
		}
		p.item(1, p.fencingLine(e))
	}
}

func (p *printer) fencingLine(e FencingEvent) string {
	word := [...]string{"pending", "successful", "failed"}[e.State]
	if e.State == FencingFailed && e.Detail != "" {
		word += " (" + e.Detail + ")"
	}
	text := fmt.Sprintf("%s of %s %s: ", e.Action, e.Target, word)
	if e.By != "" && e.State != FencingPending {
		text += "delegate=" + e.By + ", "
	}
	text += "client=" + e.Client + ", origin=" + e.Origin
	if e.State != FencingPending {
		text += ", completed='" + p.localTime(e.Completed.Unix()) + "'"
	}
	return text
}

// ticketState describes a ticket.
func ticketState(t *model.Ticket) string {
	if t.Granted {
		return "granted"
	}
	return "revoked"
}

// sortedTickets lists the tickets by name.
func sortedTickets(c *model.Cluster) []*model.Ticket {
	list := make([]*model.Ticket, 0, len(c.Tickets))
	for _, t := range c.Tickets {
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b *model.Ticket) int { return strings.Compare(a.ID, b.ID) })
	return list
}

func (p *printer) tickets() {
	if len(p.c.Tickets) == 0 {
		return
	}
	p.section("Tickets")
	for _, t := range sortedTickets(p.c) {
		line := t.ID + ": " + ticketState(t)
		if t.Standby {
			line += " [standby]"
		}
		if t.LastGranted > 0 {
			line += " last-granted='" + p.localTime(t.LastGranted) + "'"
		}
		p.item(1, line)
	}
}

// Ban is a location constraint that keeps a resource from a node.
type Ban struct {
	Constraint, Resource string
	Node                 *model.Node
	Score                int32
	PromotedOnly         bool
}

// Bans lists the constraints with a negative score, in document order; prefix restricts them to those whose
// ids begin with it.
func Bans(c *model.Cluster, prefix string) []Ban {
	var list []Ban
	for _, l := range c.Locations {
		if l.Health || !strings.HasPrefix(l.ID, prefix) {
			continue
		}
		for _, n := range l.Nodes {
			if n.Score < 0 {
				list = append(list, Ban{l.ID, l.Resource.ID, n.Node, n.Score, l.Role == model.RolePromoted})
			}
		}
	}
	return list
}

func (p *printer) bans() {
	began := false
	for _, b := range Bans(p.c, p.o.BanPrefix) {
		if !p.o.Only.node(b.Node) || p.o.Only.Resources != nil && !p.o.Only.Resources[b.Resource] {
			continue
		}
		if !began {
			p.section("Negative Location Constraints")
			began = true
		}
		role := ""
		if b.PromotedOnly {
			role = "as Promoted "
		}
		p.item(1, fmt.Sprintf("%s\tprevents %s from running %son %s", b.Constraint, b.Resource, role, p.nodeName(b.Node)))
	}
}

// Summary writes the heading that the field's crm_mon begins with: who leads, when the configuration was
// changed last, how much there is. The first line is "Cluster Summary:".
func Summary(c *model.Cluster, o Options) string {
	p := &printer{c: c, o: o}
	p.summary()
	return p.b.String()
}

func (p *printer) summary() {
	c := p.c
	p.section("Cluster Summary")
	stack := c.Options.Properties["cluster-infrastructure"]
	if stack == "" {
		stack = "unknown"
	}
	p.item(1, "Stack: "+stack)
	if dc := currentDC(c); dc == nil {
		p.item(1, "Current DC: NONE")
	} else {
		version, quorum := c.Options.Properties["dc-version"], "partition with quorum"
		if version == "" {
			version = "unknown"
		}
		if !c.Options.Quorate {
			quorum = "partition WITHOUT quorum"
		}
		p.item(1, fmt.Sprintf("Current DC: %s (version %s) - %s", p.nodeName(dc), version, quorum))
	}
	p.item(1, "Last updated: "+p.localTime(c.Now.Unix()))
	if h := &c.Doc.Head; h.LastWritten != "" {
		line := "Last change:  " + h.LastWritten
		if h.UpdateUser != "" {
			line += " by " + h.UpdateUser
		}
		if h.UpdateClient != "" {
			line += " via " + h.UpdateClient
		}
		if h.UpdateOrigin != "" {
			line += " on " + h.UpdateOrigin
		}
		p.item(1, line)
	}
	p.item(1, plural(len(c.Nodes), "node", "nodes")+" configured")
	total, disabled, blocked := Instances(c)
	line := plural(total, "resource instance", "resource instances") + " configured"
	switch {
	case disabled > 0 && blocked > 0:
		line += fmt.Sprintf(" (%d DISABLED, %d BLOCKED from further action due to failure)", disabled, blocked)
	case disabled > 0:
		line += fmt.Sprintf(" (%d DISABLED)", disabled)
	case blocked > 0:
		line += fmt.Sprintf(" (%d BLOCKED from further action due to failure)", blocked)
	}
	p.item(1, line)
	if p.o.Settings {
		p.settings()
	}
	p.b.WriteString(MaintenanceText(c))
}

// settings writes the cluster options that matter most.
func (p *printer) settings() {
	word := func(on bool, yes, no string) string {
		if on {
			return yes
		}
		return no
	}
	o := &p.c.Options
	p.item(1, "STONITH of failed nodes "+word(o.FencingEnabled, "enabled", "disabled"))
	p.item(1, "Cluster is "+word(o.Symmetric, "symmetric", "asymmetric"))
	policy := "Stop ALL resources"
	switch o.QuorumPolicy {
	case model.QuorumIgnore:
		policy = "Ignore"
	case model.QuorumFreeze:
		policy = "Freeze resources"
	case model.QuorumDemote:
		policy = "Demote promotable resources and stop all other resources"
	}
	p.item(1, "No quorum policy: "+policy)
}

// MaintenanceText is the banner that says that the cluster does not do its work; "" = it does.
func MaintenanceText(c *model.Cluster) string {
	const title = "*** Resource management is DISABLED ***\n"
	switch {
	case c.Options.Maintenance:
		return "\n              " + title + "  The cluster will not attempt to start, stop or recover services\n"
	case c.Options.StopAll:
		return "\n    " + title + "  The cluster will keep all resources stopped\n"
	}
	return ""
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// currentDC is the node that decides; nil = none is known.
func currentDC(c *model.Cluster) *model.Node {
	for _, n := range c.Nodes {
		if n.IsDC {
			return n
		}
	}
	return nil
}
