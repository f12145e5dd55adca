package controller

import (
	"testing"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
)

func TestRelate(t *testing.T) {
	t.Parallel()
	doc, _, err := cibxml.Read([]byte(`<cib validate-with="pacemaker-3.9"><configuration><crm_config/><nodes/>
<resources>
<template id="vm" class="ocf" provider="t" type="x"/><template id="unused" class="ocf" provider="t" type="x"/>
<primitive id="vm1" template="vm"/><primitive id="vm2" template="vm"/><primitive id="u1" template="unused"/><primitive id="u2" template="unused"/>
<group id="g"><primitive id="g1" class="ocf" provider="t" type="x"/><primitive id="g2" class="ocf" provider="t" type="x"/></group>
<clone id="c"><primitive id="ci" class="ocf" provider="t" type="x"/></clone>
<primitive id="a" class="ocf" provider="t" type="x"/><primitive id="b" class="ocf" provider="t" type="x"/>
<primitive id="t1" class="ocf" provider="t" type="x"/><primitive id="t2" class="ocf" provider="t" type="x"/>
<primitive id="s1" class="ocf" provider="t" type="x"/><primitive id="s2" class="ocf" provider="t" type="x"/>
<primitive id="alone" class="ocf" provider="t" type="x"/>
</resources>
<constraints>
<rsc_order id="o1" first="g2" then="c"/>
<rsc_colocation id="c1" rsc="c" with-rsc="a" score="-100"/>
<rsc_location id="l1" rsc="b" node="n1" score="1"/>
<rsc_order id="o2" first="vm" then="tag"/>
<rsc_order id="o3" kind="Optional"><resource_set id="o3-0"><resource_ref id="s1"/></resource_set><resource_set id="o3-1"><resource_ref id="s2"/></resource_set></rsc_order>
</constraints>
<tags><tag id="tag"><obj_ref id="t1"/><obj_ref id="t2"/></tag><tag id="label"><obj_ref id="alone"/><obj_ref id="b"/></tag></tags>
</configuration><status/></cib>`))
	if err != nil {
		t.Fatal(err)
	}
	r := relate(&doc.Config)
	families := [][]string{
		{"g", "g1", "g2", "c", "ci", "ci:0", "ci:17", "a"}, // by a group, an order and a colocation
		{"vm1", "vm2", "t1", "t2"},                         // a template and a tag that an order names
		{"s1", "s2"},                                       // sets
		{"b"}, {"alone"}, {"u1"}, {"u2"}, {"gone"},
	}
	seen := map[string]string{}
	for _, f := range families {
		want := r.family(f[0])
		if of, ok := seen[want]; ok {
			t.Errorf("%s is related to %s", f[0], of)
		}
		seen[want] = f[0]
		for _, id := range f {
			if got := r.family(id); got != want {
				t.Errorf("family(%s) = %s, that of %s is %s", id, got, f[0], want)
			}
		}
	}
	if r := relate(new(cib.Configuration)); r.joined == nil {
		t.Error("an empty configuration leaves no relations to keep")
	}
}
