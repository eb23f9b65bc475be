export const title = "Network";
export const render = () => [];
