//! stub
use crate::cli::DoctorArgs;
use crate::exit::Failure;
use crate::home::Home;
/// x
///
/// # Errors
/// x
pub fn run(_args: &DoctorArgs, _instance: u16, _home: &Home) -> Result<(), Failure> {
    Ok(())
}
