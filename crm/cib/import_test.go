package cib

import (
	"strings"
	"testing"
)

func TestImport(t *testing.T) {
	t.Parallel()
	doc := &Document{Config: Configuration{Resources: []*Resource{{ID: "db", Class: "ocf", Provider: "x", Type: "y",
		Params:     []AttributeSet{{Pairs: []NVPair{{Name: "password", Value: "lrm://"}, {Name: "user", Value: "me", Pos: Pos{3, 4}}}}},
		Operations: Operations{List: []Operation{{Name: "monitor", Params: []AttributeSet{{Pairs: []NVPair{{Name: "key", Value: "ref:file:/x", Pos: Pos{7, 8}}}}}}}}}}}}
	out, problems := Import(doc)
	if got := out.Config.Resources[0].Params[0].Pairs[0].Value; got != "ref:file:/var/lib/pacemaker/lrm/secrets/db/password" {
		t.Errorf("the hidden value became %q", got)
	}
	if doc.Config.Resources[0].Params[0].Pairs[0].Value != "lrm://" {
		t.Error("Import changed its input")
	}
	var errs []Problem
	for _, p := range problems {
		if p.Severity == Error {
			errs = append(errs, p)
		}
	}
	if len(errs) != 1 || errs[0].Pos.Line != 7 || !strings.Contains(errs[0].String(), `primitive db: the value of key begins with "ref:"`) {
		t.Errorf("errors = %v, want one about the value of key", errs)
	}
	if len(problems) != 2 {
		t.Errorf("problems = %v, want two", problems)
	}
}
