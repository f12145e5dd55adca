package node

import (
	"testing"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/store/command"
)

// TestFencer_Refresh: devices are read again when something changes that they are read from, and not for anything else.
func TestFencer_Refresh(t *testing.T) {
	device := func(host string) *cib.Object {
		return &cib.Object{Resource: &cib.Resource{ID: "power", Class: "stonith", Type: "fence_x",
			Params: []cib.AttributeSet{{ID: "p", Pairs: []cib.NVPair{{ID: "h", Name: "pcmk_host_list", Value: host}}}}}}
	}
	s := command.New()
	f := fencer{n: &Node{wall: time.Unix(1000, 0)}}
	for i, row := range []struct {
		name   string
		change cib.Change
		read   bool
		host   string
		banned int
	}{
		{"a new device", cib.Change{Kind: cib.KindResource, ID: "power", Object: device("a")}, true, "a", 0},
		{"a role", cib.Change{Kind: cib.KindACLRole, ID: "r", Object: &cib.Object{Role: &cib.ACLRole{ID: "r"}}}, false, "a", 0},
		{"another value", cib.Change{Kind: cib.KindResource, ID: "power", Object: device("b")}, true, "b", 0},
		{"a ban", cib.Change{Kind: cib.KindConstraint, ID: "l", Object: &cib.Object{Constraint: &cib.Constraint{Kind: cib.Location, ID: "l", Resource: "power", Node: "n", Score: "-INFINITY"}}}, true, "b", 1},
		{"defaults", cib.Change{Kind: cib.KindResourceDefaults, ID: "d", Object: &cib.Object{Set: &cib.AttributeSet{ID: "d"}}}, true, "b", 1},
		{"a property", cib.Change{Kind: cib.KindProperties, ID: "o", Object: &cib.Object{Set: &cib.AttributeSet{ID: "o"}}}, false, "b", 1},
	} {
		doc, err := cib.Apply(s.Document, []cib.Change{row.change})
		if err != nil {
			t.Fatal(err)
		}
		next := *s
		next.Document, next.Revision = doc, uint64(i+1)
		s = &next
		f.n.wall = f.n.wall.Add(time.Second)
		f.refresh(s)
		if read := f.readAt.Equal(f.n.wall); read != row.read || f.revision != s.Revision {
			t.Errorf("%s: read again = %v, want %v; revision %d", row.name, read, row.read, f.revision)
		}
		if len(f.devices) != 1 || f.devices[0].params["pcmk_host_list"] != row.host || len(f.devices[0].banned) != row.banned {
			t.Errorf("%s: devices %+v", row.name, f.devices)
		}
	}
}
