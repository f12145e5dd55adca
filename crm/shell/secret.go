package shell

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/agents/sealed"
	"github.com/quorate/quorate/crm/api/editor"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/store/command"
)

func secretLevel() *level {
	return &level{name: "secret", help: "Secrets that parameters refer to as ref:store:NAME. Each is sealed to the nodes that may read it; the cluster stores no clear text.", commands: []*row{
		{name: "set", args: "NAME [--node NODE ...]", example: "printf %s \"$PASSWORD\" | crm secret set db-password", help: "store a secret, read from standard input, for all nodes or the named ones", run: (*Shell).cmdSecretSet},
		{name: "list", help: "list the secrets: who set them when, and for which nodes", run: (*Shell).cmdSecretList},
		{name: "rm", aliases: []string{"delete", "remove"}, args: "NAME", example: "crm secret rm db-password", help: "remove a secret", run: (*Shell).cmdSecretRemove},
	}}
}

func (s *Shell) cmdSecretSet(c *call) error {
	var name string
	var nodes []string
	for i := 0; i < len(c.args); i++ {
		word, value, has := strings.Cut(c.args[i], "=")
		switch {
		case word == "--node":
			if !has {
				if i++; i >= len(c.args) {
					return c.usage("--node needs a value")
				}
				value = c.args[i]
			}
			nodes = append(nodes, strings.FieldsFunc(value, func(r rune) bool { return r == ',' })...)
		case strings.HasPrefix(word, "-"):
			return c.usage("%q is not known", c.args[i])
		case name == "":
			name = c.args[i]
		default:
			return c.usage("%q is too much: the secret itself is read from standard input, where no other user can see it", c.args[i])
		}
	}
	if name == "" {
		return c.usage("the name of the secret is missing")
	}
	cl, err := s.live()
	if err != nil {
		return err
	}
	st, err := cl.State(c.ctx, true)
	if err != nil {
		return explain(err)
	}
	value, err := s.readInput("-")
	if err != nil {
		return err
	}
	value = bytes.TrimSuffix(bytes.TrimSuffix(value, []byte("\n")), []byte("\r"))
	set, err := sealSecret(st, name, nodes, value)
	clear(value)
	if err != nil {
		return err
	}
	if _, err := cl.Propose(c.ctx, &command.Entry{Kind: command.KindSecretSet, SecretSet: set}); err != nil {
		return explain(err)
	}
	var told []string
	for i := range set.Sealed {
		told = append(told, set.Sealed[i].Node)
	}
	s.info("secret %s is stored for %s; parameters refer to it as ref:store:%s", name, strings.Join(told, " "), name)
	return nil
}

// sealSecret seals a value to the nodes, all members where none are named.
func sealSecret(st *command.State, name string, nodes []string, value []byte) (*command.Secret, error) {
	set := &command.Secret{Name: name}
	for _, node := range nodes {
		if st.Member(node) == nil {
			return nil, fmt.Errorf("no node is called %q", node)
		}
	}
	for i := range st.Members {
		m := &st.Members[i]
		if m.Removed || len(nodes) > 0 && !slices.Contains(nodes, m.Name) {
			continue
		}
		if len(m.Seal) == 0 {
			return nil, fmt.Errorf("the key of node %s is not known: it must have run once with this version; start it, or name the other nodes with --node", m.Name)
		}
		data, err := sealed.Seal(m.Seal, name, value)
		if err != nil {
			return nil, err
		}
		set.Sealed = append(set.Sealed, command.Sealed{Node: m.Name, Data: data})
	}
	return set, nil
}

func (s *Shell) cmdSecretList(c *call) error {
	if err := c.want(0, 0); err != nil {
		return err
	}
	st, err := s.liveState(c.ctx)
	if err != nil {
		return err
	}
	rows := [][]string{{"NAME", "NODES", "WITHOUT", "SET", "BY"}}
	for i := range st.Secrets {
		sec := &st.Secrets[i]
		var with, without []string
		for j := range st.Members {
			m := &st.Members[j]
			switch {
			case m.Removed:
			case slices.ContainsFunc(sec.Sealed, func(x command.Sealed) bool { return x.Node == m.Name }):
				with = append(with, m.Name)
			default:
				without = append(without, m.Name)
			}
		}
		rows = append(rows, []string{sec.Name, strings.Join(with, " "), orNone(strings.Join(without, " ")), time.UnixMilli(sec.Time).Format(time.DateTime), sec.Actor})
	}
	s.table(rows)
	return nil
}

func (s *Shell) cmdSecretRemove(c *call) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	cl, err := s.live()
	if err != nil {
		return err
	}
	_, err = cl.Propose(c.ctx, &command.Entry{Kind: command.KindSecretDrop, SecretDrop: &command.SecretDrop{Name: c.args[0]}})
	return explain(err)
}

// cmdResourceSecret keeps a parameter of a resource in the secret store, the way "secret" of the field's shell keeps
// it in files.
func (s *Shell) cmdResourceSecret(c *call) error {
	if err := c.want(3, 4); err != nil {
		return err
	}
	id, action, param := c.args[0], c.args[1], c.args[2]
	if len(c.args) == 4 && action != "set" {
		return c.usage("%q is too much", c.args[3])
	}
	snap, err := s.load(c.ctx)
	if err != nil {
		return err
	}
	r, err := mustFind(snap.Doc, id)
	if err != nil {
		return err
	}
	if r.Kind != cib.Primitive {
		return fmt.Errorf("%s is a %s: only primitives have parameters", id, r.Kind)
	}
	value, has := cib.Value(r.Params, param)
	stored, isStored := strings.CutPrefix(value, "ref:store:")
	if !has && action != "set" {
		return fmt.Errorf("%s has no parameter %s", id, param)
	}
	literal := hint(fmt.Errorf("%s of %s stands in the document as it is", param, id), "crm resource secret %s stash %s", id, param)
	switch action {
	case "set":
		text := []byte(nil)
		if len(c.args) == 4 {
			text = []byte(c.args[3])
		} else if text, err = s.readInput("-"); err != nil {
			return err
		}
		return s.stash(c, snap, id, param, bytes.TrimSuffix(text, []byte("\n")))
	case "stash":
		if strings.HasPrefix(value, "ref:") {
			return fmt.Errorf("%s of %s is kept apart already: %s", param, id, value)
		}
		if err := s.stash(c, snap, id, param, []byte(value)); err != nil {
			return err
		}
		s.warn("older revisions, backups and the audit logs still have the value: change it where it is used, then \"crm resource secret %s set %s\"", id, param)
		return nil
	case "unstash":
		return hint(fmt.Errorf("a stored secret is sealed to the nodes and cannot be read back"), "crm resource param %s set %s VALUE puts a value into the document", id, param)
	case "show":
		if !strings.HasPrefix(value, "ref:") {
			return literal
		}
		s.printf("%s\n", value)
		return nil
	case "check":
		if !strings.HasPrefix(value, "ref:") {
			return literal
		}
		if isStored && snap.State != nil && !slices.ContainsFunc(snap.State.Secrets, func(x command.Secret) bool { return x.Name == stored }) {
			return hint(fmt.Errorf("%s of %s is %s, and there is no such secret", param, id, value), "crm secret set %s", stored)
		}
		s.info("%s of %s is kept apart: %s", param, id, value)
		return nil
	case "delete":
		if err := s.change(c.ctx, fmt.Sprintf("crm resource secret %s delete %s", id, param), func(doc *cib.Document) error {
			r, err := mustFind(doc, id)
			if err == nil {
				cib.DeleteValue(r.Params, param)
			}
			return err
		}); err != nil || stored != secretName(id, param) {
			return err
		}
		return s.cmdSecretRemove(&call{ctx: c.ctx, cmd: c.cmd, args: []string{stored}})
	}
	return c.usage("%q is none of set, stash, show, check, delete", action)
}

// secretName is the name under which stash stores a parameter.
func secretName(id, param string) string { return id + "." + param }

// stash stores a value as a secret and has the parameter refer to it.
func (s *Shell) stash(c *call, snap *editor.Snapshot, id, param string, value []byte) error {
	cl, err := s.live()
	if err != nil {
		return err
	}
	name := secretName(id, param)
	set, err := sealSecret(snap.State, name, nil, value)
	if err != nil {
		return err
	}
	if _, err := cl.Propose(c.ctx, &command.Entry{Kind: command.KindSecretSet, SecretSet: set}); err != nil {
		return explain(err)
	}
	return s.change(c.ctx, fmt.Sprintf("crm resource secret %s %s", id, param), func(doc *cib.Document) error {
		r, err := mustFind(doc, id)
		if err != nil {
			return err
		}
		cib.SetValue(&doc.Config, &r.Params, r.ID+"-instance_attributes", param, "ref:store:"+name)
		return nil
	})
}
