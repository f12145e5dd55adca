package shell

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/api/editor"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/store/command"
)

// changeRecords returns the changes of the configuration that the cluster remembers, oldest first.
func (s *Shell) changeRecords(ctx context.Context) ([]*command.ChangeRecord, error) {
	cl, err := s.live()
	if err != nil {
		return nil, err
	}
	st, err := cl.State(ctx, false)
	if err != nil {
		return nil, explain(err)
	}
	return st.Changes, nil
}

func (s *Shell) cmdRevisions(c *call) error {
	if err := c.want(0, 1); err != nil {
		return err
	}
	most := 20
	if len(c.args) == 1 {
		n, err := strconv.Atoi(c.args[0])
		if err != nil || n < 1 {
			return c.usage("%q is no number", c.args[0])
		}
		most = n
	}
	list, err := s.changeRecords(c.ctx)
	if err != nil {
		return err
	}
	rows := [][]string{{"REVISION", "WHEN", "WHO", "NODE", "OBJECTS", "WHY"}}
	gone := false
	for i := len(list) - 1; i >= 0 && most > 0; i, most = i-1, most-1 {
		ch := list[i]
		objects := strings.Join(ch.Objects, ", ")
		const widest = 60
		if len(objects) > widest {
			objects = fmt.Sprintf("%s and more (%d)", ch.Objects[0], len(ch.Objects))
		}
		number := fmt.Sprint(ch.Index)
		if !ch.Kept {
			number, gone = number+"*", true
		}
		rows = append(rows, []string{number, time.UnixMilli(ch.Time).Format(time.DateTime), ch.Actor, ch.Origin, objects, ch.Message})
	}
	s.table(rows)
	if gone {
		s.printf("* the configuration of then is not kept any more\n")
	}
	return nil
}

// revision returns the configuration of a revision and its number.
func (s *Shell) revision(ctx context.Context, c *call, word string) (*cib.Document, error) {
	n, err := strconv.ParseUint(word, 10, 64)
	if err != nil {
		return nil, c.usage("%q is no revision; \"crm revisions\" lists them", word)
	}
	cl, err := s.live()
	if err != nil {
		return nil, err
	}
	doc, err := cl.Revision(ctx, n)
	return doc, explain(err)
}

func (s *Shell) cmdDiffRevisions(c *call) error {
	if err := c.want(0, 2); err != nil {
		return err
	}
	var from, to *cib.Document
	var err error
	switch {
	case len(c.args) == 0: // the newest change
		list, err := s.changeRecords(c.ctx)
		if err != nil {
			return err
		}
		if len(list) < 2 {
			return errors.New("the configuration has one revision: there is nothing to compare it with")
		}
		return s.cmdDiffRevisions(&call{ctx: c.ctx, cmd: c.cmd, args: []string{fmt.Sprint(list[len(list)-2].Index), fmt.Sprint(list[len(list)-1].Index)}})
	case len(c.args) == 1 && !isRevision(c.args[0]):
		file, err := s.readConfig(c.ctx, c.args[0])
		if err != nil {
			return err
		}
		base, err := s.load(c.ctx)
		if err != nil {
			return err
		}
		from, to = base.Doc, s.asWritten(base, file, c.args[0])
	default:
		if from, err = s.revision(c.ctx, c, c.args[0]); err != nil {
			return err
		}
		if len(c.args) == 2 {
			to, err = s.revision(c.ctx, c, c.args[1])
		} else {
			var now *editor.Snapshot
			if now, err = s.load(c.ctx); err == nil {
				to = now.Doc
			}
		}
		if err != nil {
			return err
		}
	}
	for _, l := range cib.Describe(from, cib.Diff(from, to)) {
		s.printf("%s\n", l)
	}
	return nil
}

// isRevision reports whether a word names a revision and no file.
func isRevision(word string) bool {
	if _, err := strconv.ParseUint(word, 10, 64); err != nil {
		return false
	}
	_, err := os.Stat(word)
	return err != nil
}

func (s *Shell) cmdRollback(c *call) error {
	o, err := s.planOptions(c, "--yes", "--plan", "-m")
	if err != nil {
		return err
	}
	if len(o.rest) != 1 {
		return c.usage("one revision is needed; \"crm revisions\" lists them")
	}
	old, err := s.revision(c.ctx, c, o.rest[0])
	if err != nil {
		return err
	}
	base, err := s.load(c.ctx)
	if err != nil {
		return err
	}
	p, err := s.planFor(c.ctx, base, s.restored(base, old), "to revision "+o.rest[0], "")
	if err != nil {
		return err
	}
	return s.carryOut(c, p, o, "crm rollback "+o.rest[0])
}

// restored returns the document with the configuration of old. Who is a member is no matter of the configuration:
// members of now stay, and nodes that were members then and are not now do not come back.
func (s *Shell) restored(now *editor.Snapshot, old *cib.Document) *cib.Document {
	config := old.Config.Clone()
	member := func(name string) bool { return now.State != nil && now.State.Member(name) != nil }
	config.Nodes = slices.DeleteFunc(config.Nodes, func(n cib.Node) bool {
		gone := len(n.Links) > 0 && !member(n.Name)
		if gone {
			s.warn("node %s was a member then and is none now: it stays away; let it join with \"crm cluster join\"", n.Name)
		}
		return gone
	})
	for i := range now.Doc.Config.Nodes {
		n := &now.Doc.Config.Nodes[i]
		at := slices.IndexFunc(config.Nodes, func(x cib.Node) bool { return x.Name == n.Name })
		switch {
		case at >= 0:
			config.Nodes[at].ID = n.ID
		case member(n.Name):
			config.Nodes = append(config.Nodes, n.Clone())
		}
	}
	out := now.Doc.Clone()
	out.Config = config
	return out
}
