// Package image writes container images, as OCI layout archives, from files on
// this machine: no engine, no registry, no Dockerfile. The result is
// deterministic: entries are sorted, and times are fixed.
package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"time"

	"github.com/distribution/reference"
)

// Options describes one image.
type Options struct {
	Name       string   // e.g. operator:dev; normalised to docker.io/library/operator:dev
	Out        string   // archive to write
	Files      []string // SRC:DST[:MODE]; SRC may be a directory
	Entrypoint []string
	Cmd        []string
	Env        []string
	User       string
	WorkDir    string
	Labels     map[string]string
	Ports      []string // e.g. 8080/tcp
}

var epoch = time.Unix(0, 0).UTC()

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Platform    map[string]string `json:"platform,omitempty"`
}

type blob struct {
	descriptor
	data []byte
}

func newBlob(mediaType string, data []byte) blob {
	sum := sha256.Sum256(data)
	return blob{descriptor{MediaType: mediaType, Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(len(data))}, data}
}

// Build writes the image and returns its full, normalised name.
func Build(o Options) (string, error) {
	ref, err := reference.ParseDockerRef(o.Name)
	if err != nil {
		return "", fmt.Errorf("image name %q: %w", o.Name, err)
	}
	layer, err := fileLayer(o.Files)
	if err != nil {
		return "", err
	}
	conf := map[string]any{
		"Entrypoint": o.Entrypoint, "Cmd": o.Cmd, "User": o.User, "WorkingDir": o.WorkDir,
		"Env":    append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, o.Env...),
		"Labels": o.Labels,
	}
	if len(o.Ports) > 0 {
		ports := map[string]struct{}{}
		for _, p := range o.Ports {
			ports[p] = struct{}{}
		}
		conf["ExposedPorts"] = ports
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "created": epoch, "config": conf,
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{layer.Digest}}, // it is not compressed
	})
	if err != nil {
		return "", err
	}
	configBlob := newBlob("application/vnd.oci.image.config.v1+json", config)
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": configBlob.descriptor, "layers": []descriptor{layer.descriptor},
	})
	if err != nil {
		return "", err
	}
	manifestBlob := newBlob("application/vnd.oci.image.manifest.v1+json", manifest)
	top := manifestBlob.descriptor
	top.Platform = map[string]string{"architecture": runtime.GOARCH, "os": "linux"}
	top.Annotations = map[string]string{
		"io.containerd.image.name":          ref.String(), // what `ctr images import` names it
		"org.opencontainers.image.ref.name": ref.String(),
	}
	index, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []descriptor{top},
	})
	if err != nil {
		return "", err
	}

	tmp := o.Out + ".tmp"
	f, err := os.Create(tmp)
	if err != nil {
		return "", err
	}
	defer os.Remove(tmp)
	tw := tar.NewWriter(f)
	put := func(name string, data []byte) error {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(data)), ModTime: epoch}
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		_, err := tw.Write(data)
		return err
	}
	err = errors.Join(put("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)), put("index.json", index))
	for _, b := range []blob{manifestBlob, configBlob, layer} {
		err = errors.Join(err, put("blobs/sha256/"+strings.TrimPrefix(b.Digest, "sha256:"), b.data))
	}
	if err = errors.Join(err, tw.Close(), f.Close()); err != nil {
		return "", err
	}
	return ref.String(), os.Rename(tmp, o.Out)
}

// layer collects tar entries; a later entry replaces an earlier one of that path.
type layer map[string]*entry

type entry struct {
	tar.Header
	data []byte
}

func (l layer) dir(p string, mode int64) {
	p = clean(p)
	if p == "" || l[p] != nil && l[p].Typeflag == tar.TypeDir {
		return
	}
	l.dir(path.Dir(p), 0o755)
	l[p] = &entry{Header: tar.Header{Typeflag: tar.TypeDir, Name: p, Mode: mode}}
}

func (l layer) file(p string, mode int64, data []byte) {
	p = clean(p)
	l.dir(path.Dir(p), 0o755)
	l[p] = &entry{Header: tar.Header{Typeflag: tar.TypeReg, Name: p, Mode: mode, Size: int64(len(data))}, data: data}
}

func (l layer) symlink(p, target string) {
	p = clean(p)
	l.dir(path.Dir(p), 0o755)
	l[p] = &entry{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: p, Linkname: target, Mode: 0o777}}
}

func clean(p string) string { return strings.TrimPrefix(path.Clean("/"+p), "/") }

func (l layer) blob() (blob, error) {
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	names := make([]string, 0, len(l))
	for n := range l {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		e := l[n]
		h := e.Header
		h.ModTime = epoch
		if h.Typeflag == tar.TypeDir {
			h.Name += "/"
		}
		if err := tw.WriteHeader(&h); err != nil {
			return blob{}, fmt.Errorf("%s: %w", n, err)
		}
		if _, err := tw.Write(e.data); err != nil {
			return blob{}, fmt.Errorf("%s: %w", n, err)
		}
	}
	if err := tw.Close(); err != nil {
		return blob{}, err
	}
	return newBlob("application/vnd.oci.image.layer.v1.tar", buf.Bytes()), nil
}

// fileLayer is the application's layer: its files, plus what every program
// expects to find (users, a host lookup order, a writable /tmp).
func fileLayer(specs []string) (blob, error) {
	l := layer{}
	l.dir("tmp", 0o1777)
	l.file("etc/passwd", 0o644, []byte("root:x:0:0:root:/:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n"))
	l.file("etc/group", 0o644, []byte("root:x:0:\nnobody:x:65534:\nnonroot:x:65532:\n"))
	l.file("etc/nsswitch.conf", 0o644, []byte("hosts: files dns\n"))
	for _, spec := range specs {
		src, dst, mode, err := parseFile(spec)
		if err != nil {
			return blob{}, err
		}
		if err := l.add(src, dst, mode); err != nil {
			return blob{}, err
		}
	}
	return l.blob()
}

func parseFile(spec string) (src, dst string, mode int64, err error) {
	p := strings.Split(spec, ":")
	if len(p) < 2 || len(p) > 3 {
		return "", "", 0, fmt.Errorf("file %q is not SRC:DST[:MODE]", spec)
	}
	mode = -1
	if len(p) == 3 {
		if _, err := fmt.Sscanf(p[2], "%o", &mode); err != nil {
			return "", "", 0, fmt.Errorf("mode in %q: %w", spec, err)
		}
	}
	return p[0], p[1], mode, nil
}

func (l layer) add(src, dst string, mode int64) error {
	return filepath.WalkDir(src, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, p)
		if err != nil {
			return err
		}
		to := path.Join(dst, filepath.ToSlash(rel))
		info, err := os.Lstat(p)
		if p == src { // a link named on the command line means its target
			info, err = os.Stat(p)
		}
		if err != nil {
			return err
		}
		switch {
		case info.IsDir():
			l.dir(to, int64(info.Mode().Perm()))
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			l.symlink(to, target)
		case info.Mode().IsRegular():
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			m := mode
			if m < 0 {
				m = int64(info.Mode().Perm())
			}
			l.file(to, m, data)
		default:
			return fmt.Errorf("%s: not a file, folder or link", p)
		}
		return nil
	})
}
