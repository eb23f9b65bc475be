//! Where the tensors of a backend live: this machine's memory, or an NVIDIA card.
//!
//! The card is reached through burn's Cube backend, only if the crate was built
//! with the feature `cuda`, and is tried before anything is loaded: a missing
//! driver or card is an error here and no panic later. Nothing here computes.

use crate::arithmetic::Backend;
use burn::tensor::{Device, FloatDType, Tensor};

/// Why the device of a backend cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The feature was off when this program was built.
    #[error(
        "this program was built without the feature `cuda`; \
         `cargo install --path node --features cuda` builds it in"
    )]
    NotBuilt,
    /// The driver is missing, or lists no card.
    #[error("no NVIDIA card: the driver is not installed or lists none (see `nvidia-smi -L`)")]
    NoCard,
    /// The card is there and refuses.
    #[error("the NVIDIA card does not work: {0}")]
    Card(String),
}

/// The device of `backend`, tried if it is a card.
pub(crate) fn open(backend: Backend) -> Result<Device, DeviceError> {
    match backend {
        Backend::Kernels | Backend::Burn => Ok(Device::flex()),
        Backend::Cuda => card(),
    }
}

/// Brings a tensor of the processor to `device`. A card gets f32, widened once
/// here and not at every product, whatever its age knows of bf16.
pub(crate) fn place<const D: usize>(tensor: Tensor<D>, device: &Device) -> Tensor<D> {
    if tensor.device() == *device {
        return tensor;
    }
    tensor.cast(FloatDType::F32).to_device(device)
}

#[cfg(not(feature = "cuda"))]
const fn card() -> Result<Device, DeviceError> {
    Err(DeviceError::NotBuilt)
}

#[cfg(feature = "cuda")]
fn card() -> Result<Device, DeviceError> {
    // Looks for the driver's library first and so does not panic without it.
    if Device::enumerate(burn::tensor::DeviceType::Cuda).is_empty() {
        return Err(DeviceError::NoCard);
    }
    let device = Device::cuda(0);
    let tried = std::panic::catch_unwind(|| {
        let ones = Tensor::<2>::ones([2, 2], &device);
        ones.clone().matmul(ones).try_into_data()
    });
    match tried {
        Ok(Ok(_)) => Ok(device),
        Ok(Err(error)) => Err(DeviceError::Card(error.to_string())),
        Err(panic) => Err(DeviceError::Card(text_of(panic.as_ref()))),
    }
}

/// What a panic of the card's library said.
#[cfg(feature = "cuda")]
fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let literal = panic.downcast_ref::<&str>().map(ToString::to_string);
    literal
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it panicked without a word".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_always_there_and_keeps_what_is_stored() {
        for backend in [Backend::Kernels, Backend::Burn] {
            let device = open(backend).unwrap();
            let stored = Tensor::<1>::ones([3], &device).cast(FloatDType::BF16);
            assert_eq!(place(stored.clone(), &device).dtype(), stored.dtype());
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_card_that_was_not_built_in_is_refused_by_the_name_of_its_feature() {
        let refused = open(Backend::Cuda).unwrap_err();
        assert!(matches!(refused, DeviceError::NotBuilt));
        assert!(refused.to_string().contains("--features cuda"));
    }
}
