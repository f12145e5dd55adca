package editor

import (
	"strings"
	"testing"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibcrm"
)

// object reads one statement as an object.
func object(t *testing.T, text string) cib.Object {
	t.Helper()
	list, errs := cibcrm.Parse(text)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	c := &cib.Configuration{}
	if err := cibcrm.NewEditor(c).Apply(list[0], cibcrm.Create); err != nil {
		t.Fatal(err)
	}
	var out cib.Object
	cib.Objects(c, func(_, _ string, o cib.Object) { out = o })
	return out
}

func TestMergeObjects(t *testing.T) {
	t.Parallel()
	const base = "primitive x a:b params a=1 b=2 meta m=1 op monitor interval=1s timeout=1s"
	for _, test := range []struct{ name, mine, theirs, want string }{
		{"one side", "params a=9 b=2 meta m=1 op monitor interval=1s timeout=1s", "params a=1 b=2 meta m=1 op monitor interval=1s timeout=1s", "params a=9 b=2 meta m=1 op monitor interval=1s timeout=1s"},
		{"two values", "params a=9 b=2 meta m=1 op monitor interval=1s timeout=1s", "params a=1 b=8 meta m=1 op monitor interval=1s timeout=1s", "params a=9 b=8 meta m=1 op monitor interval=1s timeout=1s"},
		{"same value", "params a=9 b=2 meta m=1 op monitor interval=1s timeout=1s", "params a=8 b=2 meta m=1 op monitor interval=1s timeout=1s", ""},
		{"same change", "params a=9 b=2 meta m=1 op monitor interval=1s timeout=1s", "params a=9 b=2 meta m=3 op monitor interval=1s timeout=1s", "params a=9 b=2 meta m=3 op monitor interval=1s timeout=1s"},
		{"added by both", "params a=1 b=2 c=3 meta m=1 op monitor interval=1s timeout=1s", "params a=1 b=2 d=4 meta m=1 op monitor interval=1s timeout=1s", "params a=1 b=2 c=3 d=4 meta m=1 op monitor interval=1s timeout=1s"},
		{"deleted and other", "params b=2 meta m=1 op monitor interval=1s timeout=1s", "params a=1 b=7 meta m=1 op monitor interval=1s timeout=1s", "params b=7 meta m=1 op monitor interval=1s timeout=1s"},
		{"deleted and changed", "params b=2 meta m=1 op monitor interval=1s timeout=1s", "params a=7 b=2 meta m=1 op monitor interval=1s timeout=1s", ""},
		{"operation and value", "params a=1 b=2 meta m=1 op monitor interval=1s timeout=9s", "params a=1 b=2 meta m=4 op monitor interval=1s timeout=1s op start interval=0", "params a=1 b=2 meta m=4 op monitor interval=1s timeout=9s op start interval=0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			agent := "primitive x ocf:t:a "
			was, mine, theirs := object(t, strings.Replace(base, "primitive x a:b ", agent, 1)), object(t, agent+test.mine), object(t, agent+test.theirs)
			got, ok := mergeObjects(was, mine, theirs)
			if ok != (test.want != "") {
				t.Fatalf("merge = %v, want %v", ok, test.want != "")
			}
			if !ok {
				return
			}
			if want := object(t, agent+test.want); !got.Equal(&want) {
				t.Errorf("merge = %+v, want %+v", got.Resource, want.Resource)
			}
			if back, ok := mergeObjects(was, theirs, mine); !ok {
				t.Error("the other way round it does not merge")
			} else if test.name != "added by both" && !back.Equal(&got) {
				t.Errorf("the other way round: %+v", back.Resource)
			}
		})
	}
}
