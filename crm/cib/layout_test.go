package cib

import (
	"testing"

	"pgregory.net/rapid"
)

// TestLayout checks that parts come in the order in which they were written, that the usual order takes no
// space, and that a layout which does not fit its object loses no part and invents none.
func TestLayout(t *testing.T) {
	t.Parallel()
	sets := func(n int) []AttributeSet { return make([]AttributeSet, n) }
	for _, c := range []struct {
		name     string
		parts    string
		resource Resource
		layout   Layout
		want     string
	}{
		{"nothing", "", Resource{}, "", ""},
		{"usual", "pmmuo", Resource{Params: sets(1), Meta: sets(2), Utilization: sets(1), Operations: Operations{ID: "o"}}, "", "p0m0m1u0o0"},
		{"as written", "ompmp", Resource{Params: sets(2), Meta: sets(2), Operations: Operations{IDRef: "o"}}, "ompmp", "o0m0p0m1p1"},
		{"part added later", "mp", Resource{Params: sets(2), Meta: sets(1), Utilization: sets(1)}, "mp", "m0p0p1u0"},
		{"part gone", "omp", Resource{Params: sets(1)}, "omp", "p0"},
		{"bundle", "mcr", Resource{Kind: Bundle, Bundle: &BundleSpec{Engine: "docker"}, Meta: sets(1), Members: []*Resource{{}}}, "mcr", "m0c0r0"},
	} {
		c.resource.SetLayout([]byte(c.parts))
		if c.resource.Layout != c.layout {
			t.Errorf("%s: Layout = %q, want %q", c.name, c.resource.Layout, c.layout)
		}
		got := ""
		c.resource.EachPart(func(part byte, i int) { got += string(part) + string(rune('0'+i)) })
		if got != c.want {
			t.Errorf("%s: EachPart() visits %s, want %s", c.name, got, c.want)
		}
	}
}

// TestLayout_Property draws any layout, such as one from a damaged log, for any object: every part is visited
// exactly once, those of a kind in their order.
func TestLayout_Property(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := Resource{
			Params:      make([]AttributeSet, rapid.IntRange(0, 3).Draw(t, "params")),
			Meta:        make([]AttributeSet, rapid.IntRange(0, 3).Draw(t, "meta")),
			Utilization: make([]AttributeSet, rapid.IntRange(0, 3).Draw(t, "utilization")),
			Layout:      Layout(rapid.String().Draw(t, "layout")),
		}
		want := map[byte]int{PartParams: len(r.Params), PartMeta: len(r.Meta), PartUtilization: len(r.Utilization)}
		got := map[byte]int{}
		r.EachPart(func(part byte, i int) {
			if i != got[part] {
				t.Fatalf("part %c %d comes after %d others", part, i, got[part])
			}
			got[part]++
		})
		for part, n := range want {
			if got[part] != n {
				t.Errorf("part %c: visited %d times, want %d", part, got[part], n)
			}
		}
		if len(got) > len(want) {
			t.Errorf("EachPart() visits %v", got)
		}
	})
}
