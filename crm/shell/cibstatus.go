package shell

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/api/editor"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/simulate"
)

func cibstatusLevel() *level {
	return &level{name: "cibstatus", help: "Pretend states of nodes, operations and tickets in a shadow, and see what the cluster would do.", commands: []*row{
		{name: "node", args: "NODE online|offline|unclean", example: "cib cibstatus node beta unclean", help: "pretend that a node is up, down or lost", run: (*Shell).cmdPretendNode, complete: completeNodes},
		{name: "op", args: "OPERATION[:SECONDS] RESOURCE RESULT [NODE]", example: "cib cibstatus op monitor web not_running alpha", help: "pretend that an operation came to a result", run: (*Shell).cmdPretendOp},
		{name: "quorum", args: "yes|no", example: "cib cibstatus quorum no", help: "pretend that there is quorum, or none", run: (*Shell).cmdPretendQuorum},
		{name: "ticket", args: "TICKET grant|revoke|standby|activate", example: "cib cibstatus ticket ticketA grant", help: "pretend that a ticket changed", run: (*Shell).cmdPretendTicket},
		{name: "run", args: "[scores]", example: "cib cibstatus run scores", help: "show what the cluster would do", run: (*Shell).cmdPretendRun},
		{name: "simulate", args: "[scores]", example: "cib cibstatus simulate", help: "show what the cluster would do, and what became of it", run: (*Shell).cmdPretendRun},
		{name: "show", help: "print the status as XML", run: (*Shell).cmdPretendShow},
		{name: "load", args: "FILE|shadow:NAME|live", example: "cib cibstatus load shadow:other", help: "take the status of another CIB", run: (*Shell).cmdPretendLoad},
		{name: "save", args: "FILE", example: "cib cibstatus save pretended.xml", help: "write the shadow with its status to a file", run: (*Shell).cmdPretendSave},
		{name: "origin", help: "print which CIB the status is of", run: func(s *Shell, c *call) error {
			s.printf("%s\n", s.connect().Name(c.ctx))
			return nil
		}},
	}}
}

// pretended is the file whose status is changed: the status of a running cluster is not made up.
func (s *Shell) pretended(c *call) (*editor.File, *editor.Snapshot, error) {
	b, ok := s.connect().(*editor.File)
	if !ok {
		return nil, nil, hint(errors.New("the status of the running cluster is not for pretending"), "\"cib new NAME\" makes a shadow to work on, \"explain RESOURCE --if CHANGE\" asks without one")
	}
	snap, err := s.load(c.ctx)
	return b, snap, err
}

// inject changes the status.
func (s *Shell) inject(c *call, in simulate.Injection) error {
	b, snap, err := s.pretended(c)
	if err != nil {
		return err
	}
	cluster, err := state(snap.Doc, true)
	if err != nil {
		return err
	}
	doc, _, problems := simulate.Inject(snap.Doc, cluster, in, time.Now().UTC())
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	return b.Replace(c.ctx, snap, doc)
}

func (s *Shell) cmdPretendNode(c *call) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	_, snap, err := s.pretended(c)
	if err != nil {
		return err
	}
	n, err := findNode(snap.Doc, c.args[0])
	if err != nil {
		return err
	}
	switch c.args[1] {
	case "online":
		return s.inject(c, simulate.Injection{Up: []string{n.Name}})
	case "offline":
		return s.inject(c, simulate.Injection{Down: []string{n.Name}})
	case "unclean":
		return s.inject(c, simulate.Injection{Fail: []string{n.Name}})
	}
	return c.usage("%q is none of online, offline, unclean", c.args[1])
}

// results are the words for exit codes of agents, by code.
var results = []string{"success", "generic", "args", "unimplemented", "perm", "installed", "configured", "not_running", "promoted", "failed_promoted"}

func parseResult(word string) (int, bool) {
	switch word {
	case "ok":
		word = "success"
	case "master":
		word = "promoted"
	case "failed_master":
		word = "failed_promoted"
	}
	if n, err := strconv.Atoi(word); err == nil {
		return n, n >= 0 && n <= 255
	}
	at := slices.Index(results, word)
	return at, at >= 0
}

func (s *Shell) cmdPretendOp(c *call) error {
	if err := c.want(3, 4); err != nil {
		return err
	}
	task, seconds, hasInterval := strings.Cut(c.args[0], ":")
	_, snap, err := s.pretended(c)
	if err != nil {
		return err
	}
	r, err := mustFind(snap.Doc, strings.SplitN(c.args[1], ":", 2)[0])
	if err != nil {
		return err
	}
	if r.Kind != cib.Primitive {
		return fmt.Errorf("%s is a %s: operations run on primitives", r.ID, r.Kind)
	}
	rc, ok := parseResult(c.args[2])
	if !ok {
		return c.usage("%q is no result: a number, or one of %s", c.args[2], strings.Join(results, ", "))
	}
	var node string
	if len(c.args) == 4 {
		n, err := findNode(snap.Doc, c.args[3])
		if err != nil {
			return err
		}
		node = n.Name
	} else if here, err := s.runsOn(c.ctx, r.ID); err != nil {
		return err
	} else if len(here) == 1 {
		node = here[0]
	} else {
		return fmt.Errorf("%s runs on %d nodes: name the node", r.ID, len(here))
	}
	interval := int64(0)
	switch {
	case task == "probe":
		task = "monitor"
	case hasInterval:
		n, err := strconv.ParseInt(seconds, 10, 32)
		if err != nil || n < 0 {
			return c.usage("%q is no number of seconds", seconds)
		}
		interval = n * 1000
	case task == "monitor":
		for _, o := range r.Operations.List {
			if ms, err := cib.ParseInterval(o.Interval); o.Name == task && err == nil && interval == 0 {
				interval = ms
			}
		}
	}
	return s.inject(c, simulate.Injection{Operations: []string{fmt.Sprintf("%s_%s_%d@%s=%d", c.args[1], task, interval, node, rc)}})
}

func (s *Shell) cmdPretendQuorum(c *call) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	v, err := cib.ParseBool(c.args[0])
	if err != nil {
		return c.usage("%q is neither yes nor no", c.args[0])
	}
	return s.inject(c, simulate.Injection{Quorum: map[bool]string{true: "1", false: "0"}[v]})
}

func (s *Shell) cmdPretendTicket(c *call) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	var in simulate.Injection
	list := map[string]*[]string{"grant": &in.Grant, "revoke": &in.Revoke, "standby": &in.Standby, "activate": &in.Activate}[c.args[1]]
	if list == nil {
		return c.usage("%q is none of grant, revoke, standby, activate", c.args[1])
	}
	*list = []string{c.args[0]}
	return s.inject(c, in)
}

func (s *Shell) cmdPretendRun(c *call) error {
	scores := false
	for _, a := range c.args {
		switch {
		case a == "scores":
			scores = true
		case a == "nograph" || a == "utilization" || strings.Trim(a, "v") == "":
		default:
			return c.usage("%q is not known", a)
		}
	}
	snap, err := s.load(c.ctx)
	if err != nil {
		return err
	}
	d, err := decideTraced(snap, snap.Doc, model.Trace{Scores: scores})
	if err != nil {
		return err
	}
	for _, l := range d.Cluster.Scores {
		s.printf("%s\n", l.Text())
	}
	list := policy.SummaryText(d.Summary())
	if len(list) == 0 {
		s.printf("Nothing would be done.\n")
	}
	for _, l := range list {
		s.printf("  * %s\n", l)
	}
	if c.cmd.name == "run" || len(list) == 0 {
		return nil
	}
	b, file := s.connect().(*editor.File)
	if !file {
		return hint(errors.New("the running cluster is not for pretending"), "\"cib new NAME\" makes a shadow to work on")
	}
	x := simulate.Execute(snap.Doc, d, nil, time.Now().UTC())
	for i := range x.Events {
		s.printf("  %s\n", x.Events[i].Text())
	}
	return b.Replace(c.ctx, snap, x.Document)
}

func (s *Shell) cmdPretendShow(c *call) error {
	snap, err := s.load(c.ctx)
	if err != nil {
		return err
	}
	doc := *snap.Doc
	doc.Config = cib.Configuration{}
	_, err = s.out.Write(cibxml.Write(&doc, cibxml.Options{}))
	return err
}

func (s *Shell) cmdPretendLoad(c *call) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	b, snap, err := s.pretended(c)
	if err != nil {
		return err
	}
	var from *editor.Snapshot
	if name, ok := strings.CutPrefix(c.args[0], "shadow:"); ok {
		file, _, err := s.shadowFile(name)
		if err != nil {
			return err
		}
		from, err = (&editor.File{Path: file}).Load(c.ctx)
		if err != nil {
			return s.noShadow(name)
		}
	} else if c.args[0] == liveName {
		from, err = s.source().Load(c.ctx)
	} else {
		from, err = (&editor.File{Path: c.args[0]}).Load(c.ctx)
	}
	if err != nil {
		return explain(err)
	}
	doc := *snap.Doc
	doc.Status, doc.Head.HaveQuorum, doc.Head.DCUUID = from.Doc.Status, from.Doc.Head.HaveQuorum, from.Doc.Head.DCUUID
	return b.Replace(c.ctx, snap, &doc)
}

func (s *Shell) cmdPretendSave(c *call) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	snap, err := s.load(c.ctx)
	if err != nil {
		return err
	}
	return writeNew(c.args[0], string(cibxml.Write(snap.Doc, cibxml.Options{})))
}
