package api

// Image is something an instance can boot from: of the catalog, pulled from a registry, or made from an instance.
type Image struct {
	Meta
	Spec   ImageSpec   `json:"spec"`
	Status ImageStatus `json:"status"`
}

// ImageSpec says where an image comes from. Exactly one of the fields is set; both are empty in the catalog's own images.
type ImageSpec struct {
	Instance string `json:"instance,omitempty" doc:"name of an instance whose root disk it is a copy of; volumes are not part of it"`
	Ref      string `json:"ref,omitempty" doc:"reference to pull, as nginx:1.27"`
}

// ImageStatus is what the cloud says of an image.
type ImageStatus struct {
	Status
	Ref       string `json:"ref" doc:"what the engine knows it by"`
	Digest    string `json:"digest,omitempty" doc:"content id, sha256:..."`
	SizeBytes int64  `json:"sizeBytes"`
	Catalog   bool   `json:"catalog" doc:"true: part of the cloud; cannot be deleted"`
	Purpose   string `json:"purpose,omitempty"`
	Needs     string `json:"needs,omitempty" doc:"what has to be reachable to get it, where it is not there yet"`
}

// Images are a project's images, and the catalog's in every project. Update is Unsupported. Delete: Conflict for an
// image of the catalog, or one that an instance or a group was made from.
type Images interface {
	Resource[Image, ImageSpec]
}
