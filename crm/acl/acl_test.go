package acl

import (
	"errors"
	"testing"
)

func TestAuthorize(t *testing.T) {
	p := &Policy{Admins: []uint32{0}, ReadGroups: []uint32{90}}
	root := Identity{UID: 0}
	reader := Identity{UID: 1000, GID: 1000, Groups: []uint32{4, 90}}
	readerPrimary := Identity{UID: 1001, GID: 90}
	nobody := Identity{UID: 65534, GID: 90}
	other := Identity{UID: 1002, GID: 1002}
	for _, v := range Verbs {
		if err := p.Authorize(root, v.Verb); err != nil {
			t.Errorf("Authorize(root, %s) = %v, want nil", v.Verb, err)
		}
		for _, id := range []Identity{reader, readerPrimary} {
			if err := p.Authorize(id, v.Verb); (err == nil) != v.Read {
				t.Errorf("Authorize(%v, %s) = %v, want allowed %v", id, v.Verb, err, v.Read)
			}
		}
		for _, id := range []Identity{nobody, other} {
			var denied *DeniedError
			if err := p.Authorize(id, v.Verb); !errors.As(err, &denied) {
				t.Errorf("Authorize(%v, %s) = %v, want a denial", id, v.Verb, err)
			}
		}
	}
	if err := p.Authorize(root, "made:up"); err == nil {
		t.Error("a verb without a row was allowed")
	}
}

func TestVerbsAreDistinctAndExplained(t *testing.T) {
	seen := map[Verb]bool{}
	for _, v := range Verbs {
		if seen[v.Verb] || v.Help == "" {
			t.Errorf("verb %s is listed twice or has no help", v.Verb)
		}
		seen[v.Verb] = true
	}
}
