package shell

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/agents/sealed"
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
	cl, err := s.live()
	if err != nil {
		return err
	}
	st, err := cl.State(c.ctx, false)
	if err != nil {
		return explain(err)
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
