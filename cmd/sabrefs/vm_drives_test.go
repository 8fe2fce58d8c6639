//go:build amd64

package main

import (
	"testing"
)

func TestDriveSpecs(t *testing.T) {
	for text, want := range map[string]driveSpec{
		"path=/a":                              {id: "drive0", path: "/a"},
		"path=/a,readonly":                     {id: "drive0", path: "/a", readOnly: true},
		"id=rootfs,path=/a,,b.img,root":        {id: "rootfs", path: "/a,b.img", root: true},
		"readonly,root,path=/x=y.img,id=other": {id: "other", path: "/x=y.img", readOnly: true, root: true},
	} {
		var specs driveSpecs
		noError(t, specs.Set(text))
		if len(specs) != 1 || specs[0] != want {
			t.Errorf("%s: got %+v, want %+v", text, specs, want)
		}
	}
	for _, text := range []string{"", "readonly", "path=", "/a", "path=/a,id=", "path=/a,readonly=yes", "path=/a,writable", "path=/a,"} {
		var specs driveSpecs
		if err := specs.Set(text); err == nil {
			t.Errorf("%q was taken for %+v", text, specs)
		}
	}
}
