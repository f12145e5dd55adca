package cibcrm

import (
	"testing"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
)

// TestApply_Again prints a configuration whose parts have ids of their own and brings the statements in again: the ids
// stay. A statement that says something else, be it only an id, counts.
func TestApply_Again(t *testing.T) {
	t.Parallel()
	const text = `<cib validate-with="pacemaker-3.9"><configuration>
<crm_config><cluster_property_set id="p"><nvpair id="p1" name="no-quorum-policy" value="ignore"/><rule id="pr" score="0"><date_expression id="pe" operation="gt" start="2035-01-01"/></rule></cluster_property_set></crm_config>
<nodes><node id="1" uname="n1"><instance_attributes id="na"><nvpair id="nb" name="standby" value="on"/></instance_attributes></node></nodes>
<resources><primitive id="a" class="ocf" provider="test" type="Dummy"><instance_attributes id="ai"><nvpair id="an" name="x" value="1"/></instance_attributes>
<operations><op id="ao" name="monitor" interval="10s"/></operations></primitive>
<group id="g"><primitive id="b" class="ocf" provider="test" type="Dummy"/></group></resources>
<constraints><rsc_location id="l" rsc="a"><rule id="r6" score="20"><expression id="e6" attribute="#uname" operation="eq" value="n1"/></rule></rsc_location></constraints>
<acls><acl_role id="r"><acl_permission id="rp" kind="read" xpath="/cib"/></acl_role></acls>
<alerts><alert id="al" path="/x"><recipient id="ar" value="y"/></alert></alerts>
</configuration><status/></cib>`
	read := func() *cib.Document {
		t.Helper()
		doc, _, err := cibxml.Read([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	apply := func(doc *cib.Document, text string) []cib.Change {
		t.Helper()
		list, errs := Parse(text)
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		e := NewEditor(&doc.Config)
		for _, st := range list {
			if err := e.Apply(st, Update); err != nil {
				t.Fatal(err)
			}
		}
		return cib.Diff(read(), doc)
	}
	doc := read()
	for _, c := range apply(doc, Print(&doc.Config, PrintOptions{})) {
		t.Errorf("the statements of a configuration change %s %s of it", c.Kind, c.ID)
	}
	for _, again := range []string{
		"location l a rule 21: #uname eq n1", "location l a rule $id=r7 20: #uname eq n1", "primitive a ocf:test:Dummy params x=2 op monitor interval=10s",
		"primitive a ocf:test:Dummy params $id=other x=1 op monitor interval=10s", "group g a b", "# why\nnode 1: n1 attributes standby=on", "role r write xpath:\"/cib\"",
		"alert al /x to z",
	} {
		if changes := apply(read(), again); len(changes) == 0 {
			t.Errorf("%q changes nothing", again)
		}
	}
}
