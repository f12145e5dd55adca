package cib

import (
	"fmt"
	"strings"
)

// Where Pacemaker's cibsecret keeps the values of parameters that it hides, and what stands for one in a CIB.
const (
	hiddenMark   = "lrm://"
	hiddenFolder = "/var/lib/pacemaker/lrm/secrets"
)

// Import returns a document of Pacemaker as this cluster keeps it, with what was translated: structure as of
// Upgrade, values that cibsecret hides as references to its files. Values that Pacemaker hands to the agent as they
// are and that are references here are named, too. doc is not changed.
func Import(doc *Document) (*Document, []Problem) {
	up, problems := Upgrade(doc)
	out := up.Clone()
	EachResource(&out.Config, func(r, _ *Resource) {
		where := r.Kind.String() + " " + r.ID
		look := func(list []AttributeSet) {
			for i := range list {
				for j := range list[i].Pairs {
					p := &list[i].Pairs[j]
					switch {
					case IsReference(p.Value):
						problems = append(problems, Problem{Pos: p.Pos, Where: where, Text: fmt.Sprintf("the value of %s, %s, is a reference to a secret here", p.Name, p.Value)})
					case p.Value == hiddenMark:
						p.Value = ReferencePrefix + "file:" + hiddenFolder + "/" + r.ID + "/" + p.Name
						problems = append(problems, Problem{Pos: p.Pos, Where: where, Text: fmt.Sprintf("%s, hidden by cibsecret, becomes a reference to its file %s", p.Name, strings.TrimPrefix(p.Value, "ref:file:"))})
					}
				}
			}
		}
		look(r.Params)
		for i := range r.Operations.List {
			look(r.Operations.List[i].Params)
		}
	})
	return out, problems
}
