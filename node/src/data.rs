//! The data plane: links between peers. (interface)
