package compat

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/store/command"
)

// ticketOptions are the options of crm_ticket.
type ticketOptions struct {
	what, id, attribute, value, fallback string
	force, hasValue, dflt                bool
}

// crmTicket is crm_ticket: tickets of clusters at several sites.
func crmTicket(stdio IO, args []string) int {
	f := &frame{"crm_ticket", "show and change tickets", stdio}
	var o ticketOptions
	do := func(name string) func(string) error {
		return func(s string) error { o.what, o.attribute = name, s; return nil }
	}
	rest, code, done := f.parse(args, []option{
		{short: 'l', long: "info", help: "show tickets", set: do("info")},
		{short: 'L', long: "details", help: "show tickets with their attributes", set: do("details")},
		{short: 'w', long: "raw", help: "ids of tickets", set: do("raw")},
		{short: 'q', long: "query-xml", help: "tickets as XML", set: do("xml")},
		{short: 'c', long: "constraints", help: "constraints that name the ticket", set: do("constraints")},
		{short: 'g', long: "grant", help: "grant the ticket to this site", set: do("grant")},
		{short: 'r', long: "revoke", help: "revoke the ticket", set: do("revoke")},
		{short: 's', long: "standby", help: "make the ticket standby", set: do("standby")},
		{short: 'a', long: "activate", help: "end the standby", set: do("activate")},
		{short: 'G', long: "get-attr", value: true, arg: "NAME", help: "show an attribute", set: do("get")},
		{short: 'S', long: "set-attr", value: true, arg: "NAME", help: "set an attribute to the value of -v", set: do("set")},
		{short: 'D', long: "delete-attr", value: true, arg: "NAME", help: "delete an attribute", set: do("delete")},
		{short: 'v', long: "attr-value", value: true, arg: "VALUE", help: "the value", set: func(s string) error { o.value, o.hasValue = s, true; return nil }},
		{short: 'd', long: "default", value: true, arg: "VALUE", help: "what -G shows without a value", set: func(s string) error { o.fallback, o.dflt = s, true; return nil }},
		{short: 't', long: "ticket", value: true, arg: "ID", help: "the ticket", set: text(&o.id)},
		{short: 'f', long: "force", help: "do what may stop resources", set: flag(&o.force)},
		{short: 'Q', long: "quiet", help: "accepted", set: func(string) error { return nil }},
	})
	reading := slices.Contains([]string{"", "info", "details", "raw", "xml"}, o.what)
	switch {
	case done:
		return code
	case len(rest) > 0:
		return f.fail(exitUsage, "unexpected argument %q; see crm_ticket --help", rest[0])
	case o.id == "" && !reading:
		return f.fail(exitUsage, "Must supply ticket ID with -t")
	case o.what == "set" && !o.hasValue:
		return f.fail(exitUsage, "Must supply attribute value with -v")
	}
	if err := o.run(f, reading); err != nil {
		return f.failed(err)
	}
	return exitOK
}

func (o *ticketOptions) run(f *frame, reading bool) error {
	c, end, err := open()
	if err != nil {
		return err
	}
	defer end()
	at := slices.IndexFunc(c.doc.Status.Tickets, func(t cib.TicketState) bool { return t.ID == o.id })
	if reading {
		tickets := c.doc.Status.Tickets
		if o.id != "" {
			if at < 0 {
				return coded(exitNoSuch, "No such ticket '%s'", o.id)
			}
			tickets = tickets[at : at+1]
		}
		o.show(f, c, tickets)
		return nil
	}
	var t cib.TicketState
	if at >= 0 {
		t = c.doc.Status.Tickets[at]
		t.Extra = slices.Clone(t.Extra)
	}
	t.ID = o.id
	switch o.what {
	case "constraints":
		found := false
		for i := range c.doc.Config.Constraints {
			if k := &c.doc.Config.Constraints[i]; k.Ticket == o.id {
				fmt.Fprintf(f.io.Out, "%s", cibxml.WriteObject(cib.KindConstraint, cib.Object{Constraint: k}))
				found = true
			}
		}
		if !found {
			return coded(exitNoSuch, "Could not show ticket constraints: no constraint names ticket %s", o.id)
		}
		return nil
	case "get":
		value, ok := ticketAttribute(&t, o.attribute)
		switch {
		case !ok && o.dflt:
			value = o.fallback
		case !ok:
			return coded(exitNoSuch, "ticket %s: %w", o.id, errNotSet)
		}
		fmt.Fprintln(f.io.Out, value)
		return nil
	}
	if err := o.change(&t, at >= 0); err != nil {
		return err
	}
	if c.client != nil {
		return c.propose(&command.Entry{Kind: command.KindTickets, Tickets: []cib.TicketState{t}})
	}
	return c.editStatus(func(_ *cib.Document, ed *cib.Editor) error {
		list := slices.Clone(ed.Document().Status.Tickets)
		if at >= 0 {
			list[at] = t
		} else {
			list = append(list, t)
		}
		ed.Document().Status.Tickets = list
		return nil
	})
}

// change carries the command out on a ticket.
func (o *ticketOptions) change(t *cib.TicketState, exists bool) error {
	set := func(name, value string) {
		switch name {
		case "granted":
			t.Granted = value
			if cib.IsTrue(value) {
				t.LastGranted = strconv.FormatInt(time.Now().Unix(), 10)
			}
		case "standby":
			t.Standby = value
		case "last-granted":
			t.LastGranted = value
		default:
			t.Extra = slices.DeleteFunc(t.Extra, func(a cib.Attr) bool { return a.Name == name })
			if value != "" {
				t.Extra = append(t.Extra, cib.Attr{Name: name, Value: value})
			}
		}
	}
	revoking := o.what == "revoke" || o.attribute == "granted" && (o.what == "delete" || o.what == "set" && !cib.IsTrue(o.value))
	granting := o.what == "grant" || o.attribute == "granted" && o.what == "set" && cib.IsTrue(o.value)
	switch {
	case revoking && !o.force:
		return coded(exitNoPermission, "Ticket modification not allowed: revoking '%s' can trigger the loss-policy of what depends on it; make it standby first (--standby), or say --force", o.id)
	case granting && !o.force:
		return coded(exitNoPermission, "Ticket modification not allowed: this tool cannot know whether '%s' is granted to another site; check that it is not, and say --force", o.id)
	}
	switch o.what {
	case "grant":
		set("granted", "true")
	case "revoke":
		set("granted", "false")
	case "standby":
		set("standby", "true")
	case "activate":
		set("standby", "false")
	case "set":
		set(o.attribute, o.value)
	case "delete":
		set(o.attribute, "")
	}
	return nil
}

func ticketAttribute(t *cib.TicketState, name string) (string, bool) {
	for _, a := range ticketAttributes(t) {
		if a.Name == name {
			return a.Value, true
		}
	}
	return "", false
}

func ticketAttributes(t *cib.TicketState) (list []cib.Attr) {
	for _, a := range append([]cib.Attr{{Name: "granted", Value: t.Granted}, {Name: "standby", Value: t.Standby}, {Name: "last-granted", Value: t.LastGranted}}, t.Extra...) {
		if a.Value != "" {
			list = append(list, a)
		}
	}
	return list
}

func (o *ticketOptions) show(f *frame, c *cluster, tickets []cib.TicketState) {
	if o.what == "xml" {
		fmt.Fprintf(f.io.Out, "State XML:\n\n")
		root := &element{name: "tickets"}
		for i := range tickets {
			e := &element{name: "ticket_state", attrs: []attr{{"id", tickets[i].ID}}}
			for _, a := range ticketAttributes(&tickets[i]) {
				e.set(a.Name, a.Value)
			}
			root.add(e)
		}
		fmt.Fprint(f.io.Out, root)
		return
	}
	for i := range tickets {
		t := &tickets[i]
		if o.what == "raw" {
			fmt.Fprintln(f.io.Out, t.ID)
			continue
		}
		word := "revoked"
		if cib.IsTrue(t.Granted) {
			word = "granted"
		}
		granted := ""
		if n, err := strconv.ParseInt(t.LastGranted, 10, 64); err == nil {
			granted = fmt.Sprintf("last-granted='%s'", localTime(n))
		}
		mark := ""
		if cib.IsTrue(t.Standby) {
			mark = "[standby]"
		}
		line := fmt.Sprintf("%s\t%s %-10s", t.ID, word, mark)
		if o.what == "details" {
			var parts []string
			for _, a := range ticketAttributes(t) {
				if a.Name == "last-granted" {
					parts = append(parts, granted)
				} else {
					parts = append(parts, a.Name+"="+a.Value)
				}
			}
			line += "(" + strings.Join(parts, ", ") + ")"
		} else {
			line += granted
		}
		fmt.Fprintln(f.io.Out, strings.TrimRight(line, " "))
	}
}
