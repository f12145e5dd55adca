package cib

import "testing"

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
	if p := problems[len(problems)-1]; p.Pos.Line != 7 || p.String() != `line 7: primitive db: the value of key, ref:file:/x, is a reference to a secret here` {
		t.Errorf("problems = %v, want one about the value of key", problems)
	}
	if len(problems) != 2 {
		t.Errorf("problems = %v, want two", problems)
	}
}
