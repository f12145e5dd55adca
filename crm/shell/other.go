package shell

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/cib"
	reasons "github.com/quorate/quorate/crm/policy/explain"
	"github.com/quorate/quorate/crm/store/command"
)

func maintenanceLevel() *level {
	return &level{name: "maintenance", help: "Stop managing the whole cluster, or a resource, for a while.", commands: []*row{
		{name: "on", args: "[RESOURCE]", example: "maintenance on web", help: "leave all resources, or one, as they are, unwatched", run: (*Shell).cmdMaintenanceMode, complete: completeResources},
		{name: "off", args: "[RESOURCE]", example: "maintenance off web", help: "manage all resources, or one, again", run: (*Shell).cmdMaintenanceMode, complete: completeResources},
		maintenanceAction(),
	}}
}

func (s *Shell) cmdMaintenanceMode(c *call) error {
	if err := c.want(0, 1); err != nil {
		return err
	}
	if len(c.args) == 1 {
		return s.cmdResourceMaintenance(&call{ctx: c.ctx, cmd: &row{name: "maintenance"}, args: []string{c.args[0], c.cmd.name}})
	}
	return s.setProperty(c, "maintenance-mode", fmt.Sprint(c.cmd.name == "on"))
}

// setProperty sets a cluster property in the set that tools use.
func (s *Shell) setProperty(c *call, name, value string) error {
	return s.change(c.ctx, fmt.Sprintf("crm %s %s=%s", c.cmd.name, name, value), func(doc *cib.Document) error {
		list := &doc.Config.Properties
		at := slices.IndexFunc(*list, func(x cib.AttributeSet) bool { return x.ID == cib.BootstrapSet })
		if at < 0 {
			*list = append(*list, cib.AttributeSet{ID: cib.BootstrapSet})
			at = len(*list) - 1
		}
		one := (*list)[at : at+1]
		cib.SetValue(&doc.Config, &one, "", name, value)
		return nil
	})
}

func fencingText(f *command.FencingRecord) string {
	text := fmt.Sprintf("%s of %s", f.Op, f.Target)
	switch {
	case f.By != "":
		text += " by " + f.By
	case f.Actor != "":
		text += " confirmed by " + f.Actor
	}
	if f.Device != "" {
		text += " with " + f.Device
	}
	if !f.OK {
		text += " FAILED"
	}
	if f.Reason != "" {
		text += " (" + f.Reason + ")"
	}
	if f.Late {
		text += ", told late: the cluster had ceased to wait"
	}
	if f.Detail != "" && f.By != "" { // a confirmation's only says that it is one
		text += ": " + f.Detail
	}
	return text
}

func (s *Shell) cmdFencingHistory(c *call) error {
	if err := c.want(0, 0); err != nil {
		return err
	}
	st, err := s.liveState(c.ctx)
	if err != nil {
		return err
	}
	for i := range st.Fencing {
		s.printf("%s %s\n", time.UnixMilli(st.Fencing[i].Ended).Format(time.DateTime), fencingText(&st.Fencing[i]))
	}
	return nil
}

func optionsLevel() *level {
	const none = "there is no such preference"
	l := &level{name: "options", help: "How crm behaves. Settings last for this session; EDITOR, NO_COLOR and the switches of crm set them from outside.", commands: []*row{
		{name: "show", args: "[NAME]", example: "options show wait", help: "show the settings", run: (*Shell).cmdOptionsShow},
		{name: "set", args: "NAME VALUE", example: "options set wait yes", help: "change a setting", run: (*Shell).cmdOptionsSet},
		{name: "wait", args: "yes|no", example: "options wait yes", help: "whether commands wait until the cluster has settled", run: (*Shell).cmdOptionsOne},
		{name: "force", args: "yes|no", example: "options force no", help: "whether commands go on where a check refuses", run: (*Shell).cmdOptionsOne},
		{name: "editor", args: "PROGRAM", example: "options editor nano", help: "the editor of \"configure edit\" and \"template edit\"", run: (*Shell).cmdOptionsOne},
		{name: "output", args: "plain|color", example: "options output plain", help: "whether terminals show the configuration in colours", run: (*Shell).cmdOptionsOne},
	}}
	for name, instead := range map[string]string{
		"pager": "crm ... | less", "user": "use sudo", "skill-level": "the access rules of the cluster say who may do what",
		"sort-elements": "the configuration is always shown in the order of crm", "check-mode": "commit always checks; \"commit force\" goes on all the same",
		"check-frequency": "commit always checks", "colorscheme": "\"options output plain\" shows no colours", "add-quotes": "values are quoted where they need it",
		"manage-children": "what is set on a group or clone is taken off its members", "save": "set EDITOR and the switches of crm in your shell's start-up file", "reset": "leave crm and start it again",
	} {
		l.commands = append(l.commands, elsewhere(name, none, instead))
	}
	return l
}

// settings are the present values by name.
func (s *Shell) settings() map[string]string {
	return map[string]string{"wait": yesNo(s.opts.wait), "force": yesNo(s.opts.force), "editor": s.editorProgram(), "output": map[bool]string{true: "color", false: "plain"}[s.colours()]}
}

func (s *Shell) cmdOptionsShow(c *call) error {
	if err := c.want(0, 1); err != nil {
		return err
	}
	now := s.settings()
	if len(c.args) == 1 {
		if _, known := now[c.args[0]]; !known {
			return c.usage("%q is no setting: editor, force, output, wait", c.args[0])
		}
	}
	for _, name := range []string{"editor", "force", "output", "wait"} {
		if len(c.args) == 0 || c.args[0] == name {
			s.printf("%s \"%s\"\n", name, now[name])
		}
	}
	return nil
}

func (s *Shell) setOption(c *call, name, value string) error {
	switch name {
	case "editor":
		s.opts.editor = value
		return nil
	case "output":
		if value != "plain" && value != "color" {
			return c.usage("%q is neither plain nor color", value)
		}
		s.opts.display = value
		return nil
	case "wait", "force":
	default:
		return c.usage("%q is no setting: editor, force, output, wait", name)
	}
	v, err := cib.ParseBool(value)
	if err != nil {
		return c.usage("%q is neither yes nor no", value)
	}
	*map[string]*bool{"wait": &s.opts.wait, "force": &s.opts.force}[name] = v
	return nil
}

func (s *Shell) cmdOptionsSet(c *call) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	return s.setOption(c, c.args[0], c.args[1])
}

func (s *Shell) cmdOptionsOne(c *call) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	return s.setOption(c, c.cmd.name, c.args[0])
}

func siteLevel() *level {
	return &level{name: "site", help: "Tickets, which say which site may run what.", commands: []*row{
		{name: "ticket", args: "grant|revoke|standby|activate|show|delete TICKET", example: "crm site ticket grant ticketA", help: "grant, revoke or show a ticket", run: (*Shell).cmdTicket},
	}}
}

func (s *Shell) cmdTicket(c *call) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	snap, err := s.load(c.ctx)
	if err != nil {
		return err
	}
	name := c.args[1]
	at := slices.IndexFunc(snap.Doc.Status.Tickets, func(t cib.TicketState) bool { return t.ID == name })
	t := cib.TicketState{ID: name}
	if at >= 0 {
		t = snap.Doc.Status.Tickets[at]
	}
	switch c.args[0] {
	case "show":
		if at < 0 {
			return fmt.Errorf("ticket %s is not known here", name)
		}
		s.printf("%s granted=%s standby=%s\n", name, yesNo(cib.IsTrue(t.Granted)), yesNo(cib.IsTrue(t.Standby)))
		return nil
	case "grant":
		t.Granted = "true"
		t.LastGranted = fmt.Sprint(time.Now().Unix())
	case "revoke":
		t.Granted = "false"
	case "standby":
		t.Standby = "true"
	case "activate":
		t.Standby = "false"
	default:
		return c.usage("%q is none of grant, revoke, standby, activate, show", c.args[0])
	}
	cl, err := s.live()
	if err != nil {
		return err
	}
	_, err = cl.Propose(c.ctx, &command.Entry{Kind: command.KindTickets, Tickets: []cib.TicketState{t}})
	return explain(err)
}

// topics are help texts that belong to no single command.
var topics = map[string]string{
	"what-if": "crm explain and crm simulate answer for a cluster that is not there yet:\n\n  --if CHANGE, which may be given several times; CHANGE is one of\n\n" + indented(reasons.Forms) + `
Example: crm explain web --if 'node alpha lost' --if 'property no-quorum-policy=ignore'
`,
	"rules": `Rules make a location, a parameter or a default depend on a node's attributes or on the time:

  rule [$role=ROLE] [SCORE:] CONDITION [and|or CONDITION ...]

CONDITION is one of
  defined ATTRIBUTE, not_defined ATTRIBUTE
  ATTRIBUTE [string:|number:|version:]lt|gt|lte|gte|eq|ne VALUE        (#uname is the node's name)
  date lt DATE, date gt DATE, date in start=DATE end=DATE, date spec hours=9-16 weekdays=1-5

Example: location l1 web rule 100: #uname eq alpha and defined pingd
`,
	"sets": `Orders, colocations and tickets take sets of resources:

  a b c            one after the other
  ( a b )          side by side, none depends on another
  [ a b ]          side by side, and one of them is enough
  a:start b:stop   a set for each action or role

Example: order o1 Mandatory: disk ( web mail )
`,
	"scores": `A score is a number, inf (INFINITY, must) or -inf (must not). Larger is preferred; -inf wins over everything.
`,
	"lifetime": `A lifetime ends a move or ban by itself. It is an ISO 8601 duration: PT30M, PT8H, P1D.

Example: crm resource move web beta PT1H
`,
}

func indented(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ") + "\n"
}
