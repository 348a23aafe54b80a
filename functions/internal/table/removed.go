package table

import "time"

// Removed is a file or folder of the warehouse that was removed because who began it has died.
type Removed struct {
	Path     string    `json:"path"` // within the warehouse
	Bytes    int64     `json:"bytes"`
	Modified time.Time `json:"modified"` // when something of it was last begun or finished, by the file system's clock
}
