package shell

import (
	"strings"
	"testing"

	"github.com/quorate/quorate/agents/sealed"
	"github.com/quorate/quorate/crm/store/command"
)

func TestSealSecret(t *testing.T) {
	t.Parallel()
	keys := map[string]*sealed.Key{}
	st := &command.State{}
	for i, name := range []string{"alpha", "beta", "old", "new"} {
		key, err := sealed.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		keys[name] = key
		m := command.Member{Name: name, NodeID: uint16(i + 1), Seal: key.Public(), Removed: name == "old"}
		if name == "new" {
			m.Seal = nil
		}
		st.Members = append(st.Members, m)
	}
	if _, err := sealSecret(st, "db", nil, []byte("v")); err == nil || !strings.Contains(err.Error(), "key of node new is not known") {
		t.Errorf("a node without key: %v", err)
	}
	if _, err := sealSecret(st, "db", []string{"old"}, []byte("v")); err == nil {
		t.Error("a removed node was taken")
	}
	set, err := sealSecret(st, "db", []string{"beta", "alpha"}, []byte("hunter2"))
	if err != nil || len(set.Sealed) != 2 {
		t.Fatalf("sealSecret() = %+v, %v", set, err)
	}
	for _, part := range set.Sealed {
		if v, err := keys[part.Node].Open("db", part.Data); err != nil || string(v) != "hunter2" {
			t.Errorf("%s opens %q, %v", part.Node, v, err)
		}
	}
}
