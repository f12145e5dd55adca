package fencing

import (
	"slices"
	"strings"
	"testing"
)

func TestParseList(t *testing.T) {
	t.Parallel()
	got := ParseList("1,alpha\n 2 , beta ,off\n3\n4,\n\nsome message: x\nwith space,x\n")
	if want := []string{"1", "alpha", "2", "beta", "3", "4"}; !slices.Equal(got, want) {
		t.Errorf("ParseList() = %q, want %q", got, want)
	}
	if got := ParseList(strings.Repeat("a,b\n", maxPlugs)); len(got) != maxPlugs {
		t.Errorf("ParseList() of a long list has %d names, want %d", len(got), maxPlugs)
	}
}

func FuzzParseList(f *testing.F) {
	f.Add("1,alpha\n2\n")
	f.Fuzz(func(t *testing.T, output string) {
		for _, p := range ParseList(output) {
			if p == "" || strings.ContainsAny(p, ",\n") {
				t.Fatalf("ParseList(%q) has %q", output, p)
			}
		}
	})
}
