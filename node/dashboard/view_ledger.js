export const title = "Ledger";
export const render = () => [];
