package command

import (
	"bytes"
	"testing"
)

func TestApply_Secrets(t *testing.T) {
	t.Parallel()
	c := found(t, "alpha", "beta")
	c.must(&Entry{Kind: KindMemberUpdate, MemberUpdate: &MemberUpdate{Name: "alpha", Seal: []byte{7}}})
	if m := c.s.Member("alpha"); len(m.Seal) != 1 || len(m.Key) == 0 {
		t.Fatalf("member = %+v, want the key to seal to, and its own key kept", m)
	}
	set := func(name string, sealed ...Sealed) *Entry {
		return &Entry{Kind: KindSecretSet, Actor: "uid:0", Time: 5, SecretSet: &Secret{Name: name, Sealed: sealed, Actor: "forged"}}
	}
	c.must(set("db", Sealed{"beta", []byte{2}}, Sealed{"alpha", []byte{1}}))
	sec := c.s.Secret("db")
	if sec == nil || sec.Actor != "uid:0" || !bytes.Equal(sec.For("alpha"), []byte{1}) || !bytes.Equal(sec.For("beta"), []byte{2}) || sec.For("gamma") != nil {
		t.Fatalf("secret = %+v", sec)
	}
	c.must(set("db", Sealed{"beta", []byte{3}}))
	if sec := c.s.Secret("db"); len(c.s.Secrets) != 1 || sec.For("alpha") != nil {
		t.Errorf("set again: %+v, want it for beta alone", c.s.Secrets)
	}
	if p := c.s.Public().Secrets; len(p) != 1 || p[0].Sealed[0].Node != "beta" || p[0].Sealed[0].Data != nil {
		t.Errorf("clients see %+v, want the node without the data", p)
	}
	c.refused(set("db"), "sealed for no node")
	c.refused(set("-x", Sealed{"beta", []byte{1}}), "cannot be the name")
	c.refused(set("db", Sealed{"gamma", []byte{1}}), `no node is called "gamma"`)
	c.refused(set("db", Sealed{"beta", nil}), "must have 1 to")
	c.refused(set("db", Sealed{"beta", []byte{1}}, Sealed{"beta", []byte{1}}), "named twice")
	c.must(&Entry{Kind: KindMemberRemove, MemberRemove: &MemberRemove{Name: "beta"}})
	if sec := c.s.Secret("db"); sec == nil || len(sec.Sealed) != 0 {
		t.Errorf("after the node was removed: %+v, want nothing sealed for it", sec)
	}
	c.must(&Entry{Kind: KindSecretDrop, SecretDrop: &SecretDrop{Name: "db"}})
	c.refused(&Entry{Kind: KindSecretDrop, SecretDrop: &SecretDrop{Name: "db"}}, "no secret is called")
}
