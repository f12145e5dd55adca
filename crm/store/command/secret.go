package command

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/crm/cib"
)

// Bounds of secrets.
const (
	maxSecrets    = 256
	maxSealedData = 8 << 10 // of one node; agents/sealed allows about half of it
)

// Secret is a value that parameters refer to as ref:store:NAME, sealed to each node that may read it.
type Secret struct {
	Name   string   `cbor:"1,keyasint"`
	Sealed []Sealed `cbor:"2,keyasint"` // by name of the node
	Actor  string   `cbor:"3,keyasint,omitempty"`
	Time   int64    `cbor:"4,keyasint,omitempty"` // milliseconds since 1970
}

// Sealed is a secret for one node.
type Sealed struct {
	Node string `cbor:"1,keyasint"`
	Data []byte `cbor:"2,keyasint,omitempty"`
}

// SecretDrop removes a secret.
type SecretDrop struct {
	Name string `cbor:"1,keyasint"`
}

// Secret returns the secret of that name; nil = none.
func (s *State) Secret(name string) *Secret {
	for i := range s.Secrets {
		if s.Secrets[i].Name == name {
			return &s.Secrets[i]
		}
	}
	return nil
}

// For returns what is sealed for a node; nil = nothing.
func (s *Secret) For(node string) []byte {
	for i := range s.Sealed {
		if s.Sealed[i].Node == node {
			return s.Sealed[i].Data
		}
	}
	return nil
}

func (n *State) secretSet(in Secret, actor string, timeMS int64) error {
	if !cib.ValidName(in.Name) {
		return fmt.Errorf("%q cannot be the name of a secret: letters, digits, dot, dash and underscore, at most 128", in.Name)
	}
	if len(in.Sealed) == 0 {
		return fmt.Errorf("secret %s is sealed for no node", in.Name)
	}
	in.Sealed = slices.Clone(in.Sealed)
	slices.SortFunc(in.Sealed, func(a, b Sealed) int { return strings.Compare(a.Node, b.Node) })
	for i, s := range in.Sealed {
		switch {
		case n.Member(s.Node) == nil:
			return fmt.Errorf("secret %s: no node is called %q", in.Name, s.Node)
		case i > 0 && in.Sealed[i-1].Node == s.Node:
			return fmt.Errorf("secret %s: node %s is named twice", in.Name, s.Node)
		case len(s.Data) == 0 || len(s.Data) > maxSealedData:
			return fmt.Errorf("secret %s for node %s: %d bytes, must have 1 to %d", in.Name, s.Node, len(s.Data), maxSealedData)
		}
	}
	in.Actor, in.Time = actor, timeMS
	list := slices.Clone(n.Secrets)
	i := slices.IndexFunc(list, func(x Secret) bool { return x.Name == in.Name })
	switch {
	case i >= 0:
		list[i] = in
	case len(list) >= maxSecrets:
		return fmt.Errorf("%d secrets are stored, which is the most", maxSecrets)
	default:
		list = append(list, in)
		slices.SortFunc(list, func(a, b Secret) int { return strings.Compare(a.Name, b.Name) })
	}
	n.Secrets = list
	return nil
}

func (n *State) secretDrop(name string) error {
	i := slices.IndexFunc(n.Secrets, func(x Secret) bool { return x.Name == name })
	if i < 0 {
		return fmt.Errorf("no secret is called %q", name)
	}
	n.Secrets = slices.Delete(slices.Clone(n.Secrets), i, i+1)
	return nil
}

// unseal removes what was sealed for a node that is no member any more.
func (n *State) unseal(node string) {
	list := slices.Clone(n.Secrets)
	for i := range list {
		list[i].Sealed = slices.DeleteFunc(slices.Clone(list[i].Sealed), func(s Sealed) bool { return s.Node == node })
	}
	n.Secrets = list
}
