package policy_test

import (
	"bytes"
	"testing"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/generate"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/simulate"
)

// TestDecide_RandomDocuments decides on documents of every kind that the generator knows: bundles, tickets, remote
// nodes and so on, with histories of all sorts. Deciding twice must give the same bytes; no resource that needs
// fencing may start while it may be active on a node that is not fenced; and carrying out must end.
func TestDecide_RandomDocuments(t *testing.T) {
	t.Parallel()
	for _, kind := range generate.Kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(10) {
				text := generate.Random(kind, seed)
				doc := mustRead(t, text)
				one, two := decideOn(t, doc), decideOn(t, mustRead(t, text))
				if !bytes.Equal(result(one), result(two)) {
					t.Errorf("seed %d: one document, two decisions", seed)
				}
				for _, a := range one.Cluster.Actions {
					if n := startsTooEarly(a); n != nil {
						t.Errorf("seed %d: %s on %s before %s is fenced", seed, a.Key, a.Node.Name, n.Name)
					}
				}
				simulate.Execute(doc, one, nil, documentTime)
			}
		})
	}
}

// startsTooEarly returns the unclean node where the resource that a starts may still be active; nil = none.
func startsTooEarly(a *model.Action) *model.Node {
	if a.Task != "start" || !a.InGraph || a.Pseudo || a.Resource == nil || a.Resource.Requires < model.RequiresFencing {
		return nil
	}
	for p := a.Resource.Parent; p != nil; p = p.Parent {
		if p.Kind == cib.Clone && !p.Clone.Unique || p.Kind == cib.Bundle {
			return nil // not exclusive
		}
	}
	for _, n := range a.Resource.Active {
		if n.Unclean && !afterFencing(a, n, map[*model.Action]bool{}) {
			return n
		}
	}
	return nil
}
