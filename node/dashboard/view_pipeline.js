export const title = "Pipeline";
export const render = () => [];
